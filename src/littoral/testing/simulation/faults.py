"""What goes wrong: links, processes, disks, clocks, and what operators and time do.

A kind of fault is a function `(world, event)` that begins it, and returns what ends it, or None where nothing
lasts. It is a hit only if it took place: a node that is dead already cannot be killed. `draw` says how long and how hard
a fault of the kind is, given how hard this run is to be.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec

from littoral.core.limits import STREAM_BYTES
from littoral.core.names import StreamName
from littoral.store.kv import kv_namespace
from littoral.store.transaction import Transaction
from littoral.testing.disk import UNLIMITED_BYTES, CutAt, Survival
from littoral.testing.net import Direction, Link
from littoral.testing.random import SeededRandom
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.world import World
from littoral.testing.tree import SimNode

End = Callable[[], None]
Begin = Callable[[World, Event], End | None]


class NotNow(Exception):
    """The fault cannot take place: its target is not in a state for it."""


class Size(msgspec.Struct, frozen=True):
    """How long and how hard, as an `Event` has it."""

    for_s: float = 0.0
    count: int = 0
    amount: float = 0.0


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault."""

    begin: Begin
    draw: Callable[[SeededRandom, float], Size]
    """Given chance and hardness (0 to 1), one fault's size."""
    where: Literal["node", "child", "tree"] = "node"
    """What it befalls: any node, one with a parent (and its link to it), or all."""


# Links. The target is the child at the lower end.


def _links(world: World, event: Event) -> list[Link]:
    return world.links(world.node(event.target))


def _cut(direction: Direction, *, reset: bool = False) -> Begin:
    def begin(world: World, event: Event) -> End:
        links = _links(world, event)
        for link in links:
            link.cut(direction, reset=reset)

        def end() -> None:
            for link in links:
                link.restore()

        return end

    return begin


def _impair(field: str, normal: Callable[[World], float], *, jitter: bool = False) -> Begin:
    """Set a field of the link for a while."""

    def begin(world: World, event: Event) -> End:
        links = _links(world, event)

        def put(value: float, jitter_s: float) -> None:
            for link in links:
                setattr(link, field, value)
                if jitter:
                    link.jitter_s = jitter_s

        put(event.amount, event.amount)
        return lambda: put(normal(world), 0.0)

    return begin


def _gone_for(random: SeededRandom, hardness: float) -> Size:
    """Shorter than the timeouts, longer, or much longer."""
    longest = random.choice((3.0, 30.0, 60.0 + 600.0 * hardness))
    return Size(for_s=random.uniform(0.5, longest))


def _impaired(low: float, high: float) -> Callable[[SeededRandom, float], Size]:
    def draw(random: SeededRandom, hardness: float) -> Size:
        return Size(
            for_s=random.uniform(5.0, 60.0 + 240.0 * hardness), amount=low + (high - low) * hardness * random.random()
        )

    return draw


# Processes


def _kill(world: World, event: Event) -> None:
    node = _up(world, event)
    world.hold_down(node, event.for_s)
    node.kill()


def _power_cut(world: World, event: Event) -> None:
    node = _up(world, event)
    world.hold_down(node, event.for_s)
    node.cut_power()


def _power_cut_at_point(world: World, event: Event) -> End:
    """At the `count`-th change of the disk from now on, whenever that is; before it takes effect, or after."""
    node = _up(world, event)
    random = world.chance(event)
    survivals: tuple[Survival, ...] = ("seeded", "lost", "kept")
    cut = CutAt(node.disk.points + event.count, takes_effect=random.chance(0.5), survival=random.choice(survivals))
    node.disk.schedule_cut(cut)
    return lambda: node.disk.schedule_cut(None)


def _pause(world: World, event: Event) -> End:
    node = _up(world, event)
    node.pause()
    return node.resume


def _up(world: World, event: Event) -> SimNode:
    node = world.node(event.target)
    if node.hub is None:
        raise NotNow
    return node


# Disks


def _set_disk(field: str, on: Callable[[SimNode, Event], object], off: object) -> Begin:
    def begin(world: World, event: Event) -> End:
        disk = world.node(event.target).disk
        setattr(disk, field, on(world.node(event.target), event))
        return lambda: setattr(disk, field, off)

    return begin


def _fill(world: World, event: Event) -> End:
    """Leave `count` bytes."""
    disk = world.node(event.target).disk
    disk.capacity_bytes += event.count - disk.free_bytes()

    def end() -> None:
        disk.capacity_bytes = UNLIMITED_BYTES

    return end


def _set_spill_disk(field: str) -> Begin:
    """Let the second place of a node that spills do nothing, or write nothing, for a while."""

    def begin(world: World, event: Event) -> End:
        disk = world.node(event.target).spill_disk
        if disk is None:
            raise NotNow
        setattr(disk, field, True)
        return lambda: setattr(disk, field, False)

    return begin


def _disk_trouble(random: SeededRandom, hardness: float) -> Size:
    return Size(for_s=random.uniform(1.0, 20.0 + 100.0 * hardness), amount=0.02 + 0.3 * hardness * random.random())


# Clocks


def _step_clock(world: World, event: Event) -> End:
    """Set by `amount` ms, and set right again at the end."""
    clock = world.node(event.target).clock
    step = int(event.amount)
    clock.step(step)
    return lambda: clock.step(-step)


def _time_passes(world: World, event: Event) -> None:
    """All wall clocks go on by `amount` ms, as if the tree had run quietly for so long."""
    for node in world.tree.nodes.values():
        node.clock.step(int(event.amount))
    world.passed_ms += int(event.amount)


# Operators and devices


def _trim(world: World, event: Event) -> End:
    """Retention takes the node's own key-value streams as they come: who has not read them needs a snapshot."""
    node = _up(world, event)
    streams = node.running.store.streams()
    names = [info.name for info in streams if info.name.origin == node.name and kv_namespace(info.name.path)]
    if not names:
        raise NotNow
    _retain(node, names, 1)
    return lambda: _retain(node, names, node.running.limits[STREAM_BYTES]) if node.hub is not None else None


def _retain(node: SimNode, names: list[StreamName], retention_bytes: int) -> None:
    def retain(tx: Transaction) -> None:
        for name in names:
            if tx.stream(name) is not None:
                tx.set_retention(name, retention_bytes)

    node.running.store.submit(retain).add_done_callback(_noticed)


def _noticed(future: "asyncio.Future[None]") -> None:
    # The node may die first, or its disk refuse: then nothing was trimmed.
    if not future.cancelled():
        future.exception()


def _device_again(world: World, event: Event) -> None:
    """The device loses its connection, and sends again what was not acknowledged."""
    node = world.node(event.target)
    if not node.devices:
        raise NotNow
    for device in node.devices:
        device.disconnected()
        device.connect()


FAULTS: dict[str, Fault] = {
    "partition": Fault(_cut("both"), _gone_for, "child"),
    "partition-up": Fault(_cut("requests"), _gone_for, "child"),
    "partition-down": Fault(_cut("responses"), _gone_for, "child"),
    "reset": Fault(_cut("both", reset=True), lambda random, hardness: Size(for_s=random.uniform(0.0, 2.0)), "child"),
    "loss": Fault(_impair("loss", lambda world: 0.0), _impaired(0.02, 0.4), "child"),
    "delay": Fault(
        _impair("delay_s", lambda world: world.plan.link_delay_s, jitter=True), _impaired(0.1, 6.0), "child"
    ),
    "bandwidth": Fault(
        _impair("bytes_per_s", lambda world: float("inf")),
        lambda random, hardness: Size(for_s=random.uniform(5.0, 120.0), amount=random.choice((200.0, 2e3, 2e4))),
        "child",
    ),
    "duplication": Fault(_impair("duplication", lambda world: 0.0), _impaired(0.1, 0.9), "child"),
    "reordering": Fault(_impair("reordering", lambda world: 0.0), _impaired(0.1, 0.9), "child"),
    "kill": Fault(_kill, _gone_for),
    "power-cut": Fault(_power_cut, _gone_for),
    "power-cut-at-point": Fault(
        _power_cut_at_point, lambda random, hardness: Size(for_s=120.0, count=random.randint(1, 40))
    ),
    "pause": Fault(_pause, _gone_for),
    "disk-full": Fault(
        _fill,
        lambda random, hardness: Size(for_s=random.uniform(1.0, 120.0), count=random.choice((0, 4096, 40_000))),
    ),
    "disk-read-only": Fault(_set_disk("read_only", lambda node, event: True, off=False), _disk_trouble),
    "disk-failing": Fault(_set_disk("failing", lambda node, event: True, off=False), _disk_trouble),
    "disk-errors": Fault(_set_disk("error_rate", lambda node, event: event.amount, off=0.0), _disk_trouble),
    "disk-slow": Fault(
        _set_disk("sync_delay_s", lambda node, event: event.amount, off=0.0),
        lambda random, hardness: Size(for_s=random.uniform(5.0, 120.0), amount=random.choice((0.05, 0.5, 5.0))),
    ),
    "spill-place-failing": Fault(_set_spill_disk("failing"), _gone_for),
    "spill-place-read-only": Fault(_set_spill_disk("read_only"), _gone_for),
    "clock-step": Fault(
        _step_clock,
        lambda random, hardness: Size(for_s=random.uniform(5.0, 300.0), amount=random.uniform(-25_000, 25_000)),
    ),
    "time-passes": Fault(
        _time_passes, lambda random, hardness: Size(amount=random.choice((3.6e6, 86.4e6, 864e6, 2.6e9))), "tree"
    ),
    "trim": Fault(_trim, _gone_for),
    "device-again": Fault(_device_again, lambda random, hardness: Size()),
}


async def befall(world: World, event: Event) -> None:
    """Let a fault happen, and end when its time is over."""
    until_s = world.now_s + event.for_s if event.for_s else None
    world.note(event.target, "fault", words_of(event), event, until_s)
    try:
        end = FAULTS[event.kind].begin(world, event)
    except NotNow:
        world.note(event.target, "healed", f"{event.kind}: nothing to befall", event)
        return
    world.hits[event.kind] += 1
    if end is None:
        return
    await asyncio.sleep(event.for_s)
    end()
    world.note(event.target, "healed", event.kind, event)


def words_of(event: Event) -> str:
    """A fault in words."""
    details = [f"{event.count}" if event.count else "", f"{event.amount:.3g}" if event.amount else ""]
    return " ".join(each for each in (event.kind, *details) if each)
