"""Crash at every point: a workload is run once to count what it does to a disk, and then once per point with the power
cut there.

A **workload** is a coroutine function. It asks a `Crash` for its surroundings, works, goes on after a cut (starts
again what died, asks again what was not answered), and asserts in the end what must be true whatever happened:

    async def notes(crash: Crash) -> None:
        node = crash.store("plant-a")
        for n in range(10):
            await node.insist(partial(put, n))
        assert node.running().state("notes") == {f"{n}": b"kept" for n in range(10)}

    print(crash_everywhere(notes, seed=7))

A **point** is a write, a truncation, a sync or a removal (`littoral.testing.disk`); each disk that the `Crash` gave out
is a **victim** in turn. The power goes before the point reaches the disk or right after it, and of what was not synced
something, nothing or all is kept. Some cuts come twice: again a few points after the restart, while the node recovers.

Every run also checks, of every disk, that what ran there in the end was SQLite in WAL mode on the simulated VFS, that
the database is whole, and that the hashes of every stream are right. So a workload leaves open what it was given: it is
checked and closed for it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import apsw
import msgspec

from littoral.core.resources.model import Storage
from littoral.testing.disk import LOG_POINTS, ChangeKind, CutAt, Point, SimDisk, Survival, assert_wal
from littoral.testing.loop import SimulationError, run
from littoral.testing.random import SeededRandom
from littoral.testing.store import SimStore, check_histories
from littoral.testing.supervision import Supervisor
from littoral.testing.tree import SimNode, SimTree

SURVIVALS: tuple[Survival, ...] = get_args(Survival)
RECOVERY_POINTS = 12
"""A second cut comes at one of so many points after the restart: opening a store that was cut off takes about half."""
AGAIN_CHANCE = 0.25
"""Of cuts that are followed by a second one, where not every fate of every sync is tried."""
LIMIT_S = 24 * 3600.0
"""Virtual seconds that a run may take."""


class Cut(msgspec.Struct, frozen=True):
    """One way to die."""

    victim: str
    number: int
    """The how-manieth point of the victim's disk."""
    takes_effect: bool = False
    """Whether the point itself reaches the disk before the power goes."""
    survival: Survival = "seeded"
    """The fate of what was not synced."""
    again: int | None = None
    """The power goes a second time at the how-manieth point after the first, if the disk comes to that."""


class CrashError(AssertionError):
    """A workload did not survive a cut. The cause is what it failed with; the text says how to repeat the run."""


class CrashReport(msgspec.Struct):
    """What was tried. Whatever is in here was recovered: the first run that is not raises CrashError."""

    workload: str
    points: dict[str, Counter[ChangeKind]]
    """What each victim's disk goes through without a cut."""
    tried: dict[str, Counter[ChangeKind]]
    """The points at which the power was cut."""
    runs: int = 0
    """With one cut or two each; every one recovered."""
    again: int = 0
    """Runs in which the second cut came."""

    def __str__(self) -> str:
        """For people: one line."""
        victims = []
        for victim, points in self.points.items():
            tried = self.tried[victim]
            kinds = ", ".join(f"{tried[kind]} of {count} {kind}s" for kind, count in points.items() if count)
            victims.append(f"{victim} {kinds}")
        total = sum(tried.total() for tried in self.tried.values())
        cuts = f"{total} points, {self.runs} runs ({self.again} with a second cut), all recovered"
        return f"{self.workload}: {'; '.join(victims)}: {cuts}"


class Crash:
    """What one run of a workload asks for its surroundings."""

    def __init__(self, seed: int, cut: Cut | None = None) -> None:
        """Made for each run; inside `littoral.testing.loop.run` only. cut: None for the run that counts."""
        self.seed = seed
        self.random = SeededRandom(seed)
        self.cut = cut
        self.disks: dict[str, SimDisk] = {}
        self.from_point: dict[str, int] = {}
        """The first point of each disk that counts."""
        self.to_point: dict[str, int] = {}
        """The last one; set when the workload has ended."""
        self.deaths = 0
        """How often the victim's power was cut by `cut`."""
        self.point: Point | None = None
        """Where it was cut first."""
        self._stores: list[SimStore] = []
        self._trees: list[SimTree] = []
        self._supervisors: list[Supervisor] = []
        self._connections: list[apsw.Connection] = []
        self._verified: set[str] = set()

    # Surroundings

    def store(self, node: str = "plant-a", storage: Storage | None = None, /, **limits: int) -> SimStore:
        """A victim with a store, not open yet. storage, limits: as of SimStore. A place for spilled records that `storage`
        names is a victim of its own, "NODE spill"."""
        store = SimStore(node, storage, seed=self.seed, **limits)
        self._stores.append(store)
        self.watch(node, store.disk)
        if store.spill_disk is not None:
            self.watch(f"{node} spill", store.spill_disk)
            self._verified.add(f"{node} spill")  # there is no database
        return store

    def tree(self) -> SimTree:
        """A tree without nodes. Each that is added is a victim."""
        tree = _Tree(self)
        self._trees.append(tree)
        return tree

    def supervise(self, tree: SimTree) -> Supervisor:
        """Keep all nodes of `tree` running from now on, until the workload ends."""
        supervisor = Supervisor(tree)
        supervisor.watch_all()
        self._supervisors.append(supervisor)
        return supervisor

    def watch(self, victim: str, disk: SimDisk) -> None:
        """Let a disk that was made elsewhere be a victim: before its first point, and with its `on_cut` set."""
        assert disk.points == 0, f"{victim}: the disk was in use already"
        assert victim not in self.disks, f"there is a {victim} already"
        self.disks[victim] = disk
        self.from_point[victim] = 1
        cut = self.cut
        if cut is None or cut.victim != victim:
            return
        on_cut = disk.on_cut

        def died() -> None:
            if on_cut is not None:
                on_cut()
            self.deaths += 1
            self.point = self.point or disk.log[-1]
            if cut.again is not None and self.deaths == 1:
                disk.schedule_cut(CutAt(disk.points + cut.again, takes_effect=cut.takes_effect))

        disk.on_cut = died
        disk.schedule_cut(CutAt(cut.number, takes_effect=cut.takes_effect, survival=cut.survival))

    def count_from_here(self) -> None:
        """Points so far belong to the preparation: the power is not cut at them."""
        self.from_point = {victim: disk.points + 1 for victim, disk in self.disks.items()}

    # Checks

    def verify(self) -> None:
        """Check every database that is open now. Called when the workload has ended, for what it left open."""
        disks = {disk.vfs: victim for victim, disk in self.disks.items()}
        for connection in self._connections:
            try:
                vfs = connection.open_vfs
            except apsw.ConnectionClosedError:
                continue
            if vfs not in disks:
                continue
            assert_wal(connection, vfs)
            damage = connection.pragma("integrity_check")
            assert damage == "ok", f"{disks[vfs]}: {damage}"
            self._verified.add(disks[vfs])
        for store in self._stores:
            if store.store is not None:
                check_histories(store.store)
        for tree in self._trees:
            for node in tree.nodes.values():
                if node.hub is not None:
                    check_histories(node.hub.store)

    async def finish(self) -> None:
        """End what was given out, and check it."""
        self.to_point = {victim: disk.points for victim, disk in self.disks.items()}
        for supervisor in self._supervisors:
            await supervisor.stop()
        cut = self.cut
        assert cut is None or self.deaths, f"{cut.victim} did not come to point {cut.number}: the run does not repeat"
        if cut is not None:
            self.disks[cut.victim].schedule_cut(None)
        self.verify()
        missing = self.disks.keys() - self._verified
        assert not missing, f"no database is open in the end on {', '.join(sorted(missing))}: it cannot be checked"
        for store in self._stores:
            await store.close()
        for tree in self._trees:
            await tree.stop()

    @contextmanager
    def connections_noted(self) -> Iterator[None]:
        """Take note of every connection to SQLite that is opened meanwhile."""
        apsw.connection_hooks.append(self._connections.append)
        try:
            yield
        finally:
            apsw.connection_hooks.remove(self._connections.append)


class _Tree(SimTree):
    """A tree whose nodes are victims."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(crash.seed)
        self._crash = crash

    def add(self, *args: Any, **settings: Any) -> SimNode:
        node = super().add(*args, **settings)
        self._crash.watch(node.name, node.disk)
        return node


Workload = Callable[[Crash], Awaitable[None]]


def crash_points(workload: Workload, seed: int) -> dict[str, list[Point]]:
    """Run a workload without a cut; return the points of each victim's disk, in order."""
    crash = Crash(seed)
    _run(workload, crash)
    points = {}
    for victim, disk in crash.disks.items():
        first, last = crash.from_point[victim], crash.to_point[victim]
        assert last - first < LOG_POINTS, f"{victim}: more than {LOG_POINTS} points are not remembered"
        points[victim] = [point for point in disk.log if first <= point.number <= last]
    return points


def crash_once(workload: Workload, seed: int, cut: Cut) -> Crash:
    """Run a workload with one cut (or two); return what it had. Raises CrashError."""
    crash = Crash(seed, cut)
    try:
        _run(workload, crash)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the run is named
        cause, name = _cause(error), _name(workload)
        raise CrashError(
            f"{name} does not survive a power cut at {crash.point or cut.victim}, seed {seed}: {cause!r}."
            f" Repeat it with crash_once({name}, {seed}, {cut!r})"
        ) from cause
    return crash


def crash_everywhere(
    workload: Workload, seed: int, *, victims: Collection[str] = (), others: int | None = None
) -> CrashReport:
    """Run a workload once per point and fate; return what was tried. Raises CrashError for the first that fails.

    victims: those whose power is cut; all, if none is named.
    others: None tries every point: syncs with every fate of what was not synced, and once more with a second cut. A
    number tries every sync, and of the other points of each victim so many, drawn from the seed; the fate is drawn,
    and so is who gets a second cut.
    """
    points = crash_points(workload, seed)
    assert set(victims) <= points.keys(), f"{_name(workload)} has no {set(victims) - points.keys()}"
    points = {victim: each for victim, each in points.items() if not victims or victim in victims}
    report = CrashReport(
        _name(workload),
        {victim: Counter(point.kind for point in each) for victim, each in points.items()},
        {victim: Counter() for victim in points},
    )
    for victim, each in points.items():
        random = SeededRandom(seed).fork(f"cuts of {victim}")
        for point in each if others is None else _some(each, others, random):
            report.tried[victim][point.kind] += 1
            for cut in _fates(victim, point, random, every=others is None):
                crash = crash_once(workload, seed, cut)
                assert crash.point == point, f"{report.workload} does not repeat: {crash.point} for {point} of {victim}"
                report.again += crash.deaths > 1
                report.runs += 1
    return report


def _some(points: list[Point], others: int, random: SeededRandom) -> list[Point]:
    """All syncs, and so many of the other points."""
    rest = [point.number for point in points if point.kind != "sync"]
    drawn = set(random.sample(rest, min(others, len(rest))))
    return [point for point in points if point.kind == "sync" or point.number in drawn]


def _fates(victim: str, point: Point, random: SeededRandom, *, every: bool) -> Iterator[Cut]:
    for takes_effect in (False, True):
        if every and point.kind == "sync":
            for survival in SURVIVALS:
                yield Cut(victim, point.number, takes_effect, survival)
            yield Cut(victim, point.number, takes_effect, again=random.randint(1, RECOVERY_POINTS))
        else:
            again = random.randint(1, RECOVERY_POINTS) if random.chance(AGAIN_CHANCE) else None
            yield Cut(victim, point.number, takes_effect, random.choice(SURVIVALS), again)


def _run(workload: Workload, crash: Crash) -> None:
    async def main() -> None:
        with crash.connections_noted():
            await workload(crash)
            await crash.finish()

    run(main, crash.seed, LIMIT_S)


def _cause(error: BaseException) -> BaseException:
    """What a run failed with first: its tasks may not have ended either."""
    while isinstance(error, SimulationError) and error.__context__ is not None:
        error = error.__context__
    return error


def _name(workload: Workload) -> str:
    return getattr(workload, "__name__", repr(workload))
