"""What clients do: devices publish, producers append, apps write keys, operators change what is desired.

Every client asks again until it is answered, keeps its own order, and writes down in the ledger what it was promised.
A kind of work is a function `(world, event)`; more are added to `WORK`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import msgspec

from littoral.core.errors import LittoralError, StorageError, Unavailable
from littoral.core.http import Request, Response
from littoral.core.kv import KvEntry
from littoral.core.names import StreamName
from littoral.fleet.desired import Deployable, DesiredRecord, record_of, submit_desired
from littoral.node.hub import Hub
from littoral.testing.device import SimDevice
from littoral.testing.simulation.asking import ask_below
from littoral.testing.simulation.blobs import send_blob
from littoral.testing.simulation.following import follow
from littoral.testing.simulation.forking import LOG, answered, fork
from littoral.testing.simulation.ledger import Write, stamp
from littoral.testing.simulation.moving import move
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.pouring import pour
from littoral.testing.simulation.rekeying import rekey
from littoral.testing.simulation.resources import (
    CENTRAL,
    NAMESPACES,
    RULE,
    SHARED,
    namespace,
    payload_of,
    topic_of,
)
from littoral.testing.simulation.restoring import restore, rot
from littoral.testing.simulation.world import POLL_S, Violation, World
from littoral.testing.tree import SimNode

Work = Callable[[World, Event], Coroutine[Any, Any, None]]


class WorkKind(msgspec.Struct, frozen=True):
    """One kind of work, and how it is drawn."""

    do: Work
    weight: float
    """How often it is drawn, beside the others'."""
    most: int = 0
    """An event's `count` is from half of this to all of it; 0 for what counts nothing."""
    where: Literal["node", "child", "site"] = "node"
    """At any node, at one with a parent, or at sites only."""


PRODUCERS = 2
APPEND_RECORDS = 5
"""Records in one append."""
KEYS = 8
DEVICE_AGAIN_POLLS = 10
"""How often a device looks for its answers before it sees to it that it is connected."""
PAUSES_S = (0.0, 0.02, 0.5)
"""Between two requests of one client: one of these, for each piece of work."""
READ_ALL_BYTES = 1 << 30


async def deploy(world: World) -> None:
    """Make the rule and the namespaces desired: the first thing that an operator does."""
    await _change(world, *NAMESPACES, RULE)


async def publish(world: World, event: Event) -> None:
    """A site's device publishes `count` numbered readings, and waits until all are acknowledged."""
    site = world.node(event.target)
    # A rule begins with the readings to come: those before it would not count.
    await world.wait_for(lambda: site.hub is not None and _begun(site.hub))
    device = site.devices[0] if site.devices else _new_device(site)
    topic = topic_of(world.restores[site.name])
    place = (site.name, topic)
    first = world.ledger.readings.get(place, 0)
    world.ledger.readings[place] = first + event.count
    for number in range(first, first + event.count):
        device.publish(topic, payload_of(number))
    world.note(site.name, "work", f"a device publishes readings {first} to {first + event.count - 1}", event)
    polls = 0
    while _awaits_answers(site, device):
        await asyncio.sleep(POLL_S)
        polls += 1
        if polls % DEVICE_AGAIN_POLLS == 0 and _awaits_answers(site, device):
            device.connect()
    world.ledger.read_acknowledged[place] = device.acknowledged


def _awaits_answers(site: SimNode, device: SimDevice) -> bool:
    """Not if it was given up with its node's store."""
    return device in site.devices and device.unacknowledged > 0


def _begun(hub: Hub) -> bool:
    """Whether the rule has begun here. A disk that cannot be read says no."""
    try:
        return hub.store.state_value("rules", "rule/temperature") is not None
    except LittoralError:
        return False


def _new_device(site: SimNode) -> SimDevice:
    device = site.device("press")
    device.connect()
    return device


async def append(world: World, event: Event) -> None:
    """A producer appends `count` records to its node's stream, several at a time, each once."""
    node = world.node(event.target)
    name = f"p{event.number % PRODUCERS}" + f"-{world.restores[node.name]}" * bool(world.restores[node.name])
    producer = _Producer.of(world, node, name)
    async with producer.turn:
        world.note(node.name, "work", f"{name} appends {event.count} records after {len(producer.sent)}", event)
        pause_s = world.chance(event).choice(PAUSES_S)
        for first in range(0, event.count, APPEND_RECORDS):
            await producer.append(min(APPEND_RECORDS, event.count - first))
            await asyncio.sleep(pause_s)


class _Producer:
    """An idempotent producer of the Durable Streams protocol."""

    def __init__(self, world: World, node: SimNode, name: str) -> None:
        self.turn = asyncio.Lock()
        self.sent = world.ledger.sent.setdefault((node.name, name), [])
        self._world = world
        self._node = node
        self._name = name
        self._appends = 0
        self._restores = world.restores[node.name]

    @classmethod
    def of(cls, world: World, node: SimNode, name: str) -> "_Producer":
        key = ("producer", node.name, name)
        producer = world.clients.get(key)
        if producer is None:
            producer = world.clients[key] = cls(world, node, name)
        assert isinstance(producer, cls)
        return producer

    async def append(self, count: int) -> None:
        first = len(self.sent)
        records = [msgspec.json.encode({"p": self._name, "i": first + place}) for place in range(count)]
        self.sent.extend(records)
        headers = {
            "content-type": "application/json",
            "producer-id": self._name,
            "producer-epoch": "0",
            "producer-seq": str(self._appends),
        }
        self._appends += 1
        request = Request("POST", f"/v1/streams/{self._node.name}/{LOG}", {}, headers, b"[" + b",".join(records) + b"]")
        response = await self._world.ask(self._node, lambda hub: self._send(hub, request), restores=self._restores)
        if response.status not in (200, 204):
            raise Violation("appends", f"{self._node.name} refuses {self._name}: {response.status} {response.body!r}")
        if response.status == 204:
            self._world.recoveries["append recognised as a duplicate"] += 1
        self._world.ledger.acknowledged[self._node.name, self._name] = len(self.sent)

    async def _send(self, hub: Hub, request: Request) -> Response:
        if hub.store.stream(StreamName(self._node.name, LOG)) is None:
            headers = {"content-type": "application/json"}
            answered(await hub.streams.handle(Request("PUT", request.path, {}, headers)))
        return answered(await hub.streams.handle(request))


async def write(world: World, event: Event) -> None:
    """An app at a node writes or deletes `count` keys of the replicated namespace, and reads each back."""
    await _write(world, event, SHARED)


async def write_central(world: World, event: Event) -> None:
    """As `write`, through the tree to the root."""
    await _write(world, event, CENTRAL)


async def _write(world: World, event: Event, space: str) -> None:
    node, random = world.node(event.target), world.chance(event)
    pause_s = random.choice(PAUSES_S)
    world.note(node.name, "work", f"an app writes {event.count} keys of {space}", event)
    for place in range(event.count):
        key = f"k{random.randrange(KEYS)}"
        value = None if random.chance(event.amount) else f"{node.name}/{event.number}/{place}".encode()
        await _write_key(world, node, Write(node.name, space, key, value))
        await asyncio.sleep(pause_s)


async def _write_key(world: World, node: SimNode, asked: Write) -> None:
    async def once(hub: Hub) -> None:
        if hub.desired.namespace(asked.namespace) is None:
            raise Unavailable("write key", asked.key, "the namespace is not known here yet")
        world.ledger.asked.add(asked)
        service, restores = hub.keyvalue, world.restores[node.name]
        if asked.value is None:
            entry = await service.delete(asked.namespace, asked.key)
        else:
            entry = await service.put(asked.namespace, asked.key, asked.value)
        if world.restores[node.name] != restores:
            return  # it was answered just before the store was lost
        world.ledger.wrote(asked.namespace, entry)
        if asked.namespace == SHARED and node.hub is hub:
            note_seen(world, node, hub, asked.key, entry)

    await world.ask(node, once)


def note_seen(world: World, node: SimNode, hub: Hub, key: str, at_least: KvEntry | None = None) -> None:
    """Read a key where it is held, and compare with what clients have seen there: they never see an older state."""
    try:
        entry, horizon = hub.store.kv_get(SHARED, key), hub.store.kv_horizon(SHARED)
    except StorageError:
        return  # the disk fails; that is for another time
    place = (node.name, SHARED, key)
    before = world.ledger.seen.get(place)
    for known, promise in ((before, "monotonic reads"), (at_least, "read your writes")):
        if known is None or ((entry is None or entry.value is None) and horizon >= known.hlc):
            continue  # it was deleted, and that was forgotten since; perhaps a late write was refused after that
        if entry is None or stamp(entry) < stamp(known):
            raise Violation(promise, f"{node.name} shows {key} as {entry}, after {known}")
    if entry is not None:
        world.ledger.seen[place] = entry


async def read(world: World, event: Event) -> None:
    """An app reads all keys of a node, and a consumer its stream: what was acknowledged is there."""
    node = world.node(event.target)
    hub = node.hub
    if hub is None:
        return
    for number in range(KEYS):
        note_seen(world, node, hub, f"k{number}")
    if world.restores[node.name]:
        return  # what it lacks may not be back yet
    try:
        records = node.records(f"{node.name}/{LOG}")
    except StorageError:
        return
    for (name, producer), count in sorted(world.ledger.acknowledged.items()):
        if name == node.name:
            sent = world.ledger.sent[name, producer]
            mine = [record for record in records if record in set(sent)]
            if mine[:count] != sent[:count]:
                raise Violation(
                    "acknowledged appends", f"{name}: {producer} was promised {count}, {len(mine)} are there"
                )


async def change(world: World, event: Event) -> None:
    """An operator changes one resource, or withdraws it."""
    random = world.chance(event)
    name = f"extra-{random.randrange(3)}"
    world.note(world.root.name, "work", f"an operator changes Namespace/{name} {event.count} times", event)
    for _ in range(event.count):
        if random.chance(event.amount):
            await _submit(world, [DesiredRecord("Namespace", name, "", None)])
        else:
            await _change(world, namespace(name, cache_ttl=f"{random.randint(1, 4)}s"))


async def _change(world: World, *resources: Deployable) -> None:
    await _submit(world, [record_of(resource, None) for resource in resources])


async def _submit(world: World, records: list[DesiredRecord]) -> None:
    async with world.operator:
        await world.ask(world.root, lambda hub: hub.store.submit(lambda tx: submit_desired(tx, records)))
        for record in records:
            world.ledger.desired[record.key] = record.revision if record.document is not None else None
        world.ledger.changes += len(records)


WORK: dict[str, WorkKind] = {
    "publish": WorkKind(publish, 6, 70, where="site"),
    "append": WorkKind(append, 6, 50),
    "write": WorkKind(write, 5, 14),
    "write-central": WorkKind(write_central, 2, 8),
    "read": WorkKind(read, 3),
    "change": WorkKind(change, 1, 6),
    "fork": WorkKind(fork, 2, 12),
    "follow": WorkKind(follow, 0.5),
    "send-blob": WorkKind(send_blob, 0.4, 60),
    "ask-below": WorkKind(ask_below, 0.4, 6),
    "pour": WorkKind(pour, 0.5, 50),
    "rekey": WorkKind(rekey, 0.2),
    "move": WorkKind(move, 0.5, where="child"),
    "restore": WorkKind(restore, 0.35, where="child"),
    "rot": WorkKind(rot, 0.2, where="child"),
}
