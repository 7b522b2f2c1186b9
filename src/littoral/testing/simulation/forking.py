"""A client that forks the stream its node's producers append to, or one of its forks, appends to the fork, and perhaps
deletes it; and what must be true of those that are left."""

from typing import Any

import msgspec

from littoral.core.errors import Unavailable
from littoral.core.http import Request, Response
from littoral.core.names import StreamName
from littoral.node.hub import Hub
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.world import Violation, World
from littoral.testing.tree import SimNode
from littoral.wire.durable_streams import format_offset, parse_offset

LOG = "log"
"""Path of the stream that producers append to, at every node."""
DELETES = 0.4
"""Of the events that find a fork to delete."""


async def fork(world: World, event: Event) -> None:
    """Fork a stream at a point of its history, and append `count` records; or delete a fork."""
    node, random = world.node(event.target), world.chance(event)
    if world.restores[node.name]:
        return  # a fork made before the node has met its parent would keep it from taking back what it lacks
    mine = sorted(path for name, path in world.ledger.forks if name == node.name)
    if mine and random.chance(DELETES):
        await _delete(world, node, random.choice(mine), event)
        return
    source, path = random.choice([LOG, *mine]), f"fork-{event.number}"
    head = await call(world, node, "HEAD", source)
    if head.status != 200:
        return  # nothing was appended here yet
    at = random.randint(0, _tail(head))
    world.note(node.name, "work", f"a client forks {source} at {at}, and appends {event.count} records", event)
    asked = {"stream-forked-from": f"/v1/stream/{source}", "stream-fork-offset": format_offset(at)}
    before = (await _log(world, node, at)) if source == LOG else world.ledger.forks[node.name, source][:at]
    made = await call(world, node, "PUT", path, headers=asked)
    if made.status in (404, 409) and (node.name, source) not in world.ledger.forks and source != LOG:
        return  # another client has deleted it meanwhile
    if made.status not in (200, 201) or _tail(made) != at:
        raise Violation("forks", f"{node.name} does not fork {source} at {at}: {made.status} {made.body!r}")
    forked = world.ledger.forks[node.name, path] = before
    for place in range(event.count):
        forked.append(b'{"f":"%s","i":%d}' % (path.encode(), place))
        headers = {"producer-id": "forker", "producer-epoch": "0", "producer-seq": str(place)}
        answer = await call(world, node, "POST", path, forked[-1], headers)
        if answer.status not in (200, 204):
            raise Violation("forks", f"{node.name} refuses an append to {path}: {answer.status} {answer.body!r}")
        world.ledger.forked += 1


async def _delete(world: World, node: SimNode, path: str, event: Event) -> None:
    world.note(node.name, "work", f"a client deletes {path}", event)
    del world.ledger.forks[node.name, path]
    answer = await call(world, node, "DELETE", path)
    # 404 or 410: it was done when it was asked for before, and the answer was lost.
    if answer.status not in (204, 404, 410):
        raise Violation("forks", f"{node.name} does not delete {path}: {answer.status} {answer.body!r}")


async def _log(world: World, node: SimNode, end: int) -> list[bytes]:
    """The records of the producers' stream before `end`, as a client reads them."""
    records: list[bytes] = []
    while len(records) < end:
        answer = await call(world, node, "GET", LOG, query={"offset": format_offset(len(records))})
        if answer.status != 200:
            raise Violation("forks", f"{node.name} does not show {LOG}: {answer.status} {answer.body!r}")
        records += [bytes(each) for each in msgspec.json.decode(answer.body, type=list[msgspec.Raw])]
    return records[:end]


def check_forks(world: World) -> None:
    """Each fork that was not deleted has what its source had before the point, and what was appended to it, in order; the
    copy at the root is the same."""
    for (name, path), expected in sorted(world.ledger.forks.items()):
        for node in (world.node(name), world.root):
            held = node.records(f"{name}/{path}")
            if held != expected:
                place = next((n for n, (a, b) in enumerate(zip(held, expected, strict=False)) if a != b), -1)
                raise Violation(
                    "forks", f"{node.name}: {name}/{path} has {len(held)} records, not {len(expected)}; from {place} on"
                )


async def call(
    world: World,
    node: SimNode,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
) -> Response:
    """One request to a node's own stream; again until it is answered by the node, not by its troubles."""
    fields = {"content-type": "application/json", **(headers or {})} if method in ("PUT", "POST") else {}
    request = Request(method, f"/v1/streams/{StreamName(node.name, path)}", query or {}, fields, body)

    async def send(hub: Hub) -> Response:
        return answered(await hub.streams.handle(request))

    return await world.ask(node, send, restores=0)


def answered(response: Any) -> Response:
    """Raises Unavailable for what a client would try again."""
    assert isinstance(response, Response)
    if response.status >= 500 or response.status == 429:
        raise Unavailable("call", LOG, f"{response.status} {response.body[:200]!r}")
    return response


def _tail(response: Response) -> int:
    token = {name.lower(): value for name, value in response.headers}["stream-next-offset"]
    offset = parse_offset(token)
    assert offset is not None, token
    return offset
