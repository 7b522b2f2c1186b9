"""An operator at a node above has something appended at a node below, through its inbox: once at most, and once exactly
where the answer says so."""

import asyncio
from collections import Counter

from littoral.core.errors import LittoralError
from littoral.core.http import AnyResponse, Request, Response
from littoral.core.names import StreamName
from littoral.node.hub import Hub
from littoral.testing.simulation.forking import call
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.world import AGAIN_S, Violation, World
from littoral.testing.tree import SimNode
from littoral.wire.inbox import DEADLINE_HEADER, KEY_HEADER, NODES_PATH
from littoral.wire.problem import answer

ASKED = "asked"
"""Path of the stream."""
DEADLINE_S = 120
PATIENCE_S = 15.0
"""How long the operator waits before the same is asked again; then it is the same message."""


async def ask_below(world: World, event: Event) -> None:
    """Have `count` records appended at a node, one after the other, each with a deadline."""
    node, random = world.node(event.target), world.chance(event)
    above = world.path_up(node.name)
    if not above or world.restores[node.name]:
        return
    at = random.choice(above)
    await call(world, node, "PUT", ASKED)
    world.note(at.name, "work", f"an operator asks {node.name} to append {event.count} records", event)
    for place in range(event.count):
        key = f"r{event.number}-{place}"
        response = await _ask(world, at, node, key)
        if response is not None:
            world.recoveries[f"asked through the inbox: {response.status}"] += 1
            if response.status == 204:
                world.ledger.done.setdefault(node.name, []).append(_record(key))


async def _ask(world: World, at: SimNode, node: SimNode, key: str) -> Response | None:
    """The answer; None if there is none long after the deadline."""
    headers = {"content-type": "application/json", KEY_HEADER: key, DEADLINE_HEADER: f"{DEADLINE_S}s"}
    path = f"{NODES_PATH}{node.name}/api/v1/streams/{StreamName(node.name, ASKED)}"
    request = Request("POST", path, {}, headers, _record(key))
    until_s = world.now_s + 2 * DEADLINE_S
    while world.now_s < until_s:
        if (hub := at.hub) is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    response = await operator_of(hub, request)
                assert isinstance(response, Response)
                if response.status < 500 or response.status == 504:
                    return response
            except (TimeoutError, LittoralError):
                pass
        await asyncio.sleep(AGAIN_S)
    return None


async def operator_of(hub: Hub, request: Request) -> AnyResponse:
    """What a node's operator API answers to its operator."""
    headers = {"authorization": f"Bearer {hub.operator_token}", **request.headers}
    asked = Request(request.method, request.path, request.query, headers, request.body)
    return await answer(hub.operator_api.handle, asked, hub.seams.fault)


def _record(key: str) -> bytes:
    return b'{"key":"%s"}' % key.encode()


def check_asked(world: World) -> None:
    """Nothing was done twice, and what was answered was done. A node that was restored may do again what it has forgotten."""
    for node in world.tree.nodes.values():
        if world.restores[node.name]:
            continue
        done = Counter(node.records(f"{node.name}/{ASKED}"))
        for record, times in done.items():
            if times > 1:
                raise Violation("inbox", f"{node.name} did what it was asked {times} times: {record!r}")
        for record in world.ledger.done.get(node.name, ()):
            if not done[record]:
                raise Violation("inbox", f"{node.name} says that it did what it was asked, and did not: {record!r}")
