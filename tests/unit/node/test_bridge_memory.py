"""What a node remembers of its bridges."""

from littoral.node.bridge_memory import FILE, BridgeMemory, Remembered
from littoral.testing.disk import SimDisk
from littoral.testing.loop import run
from littoral.testing.random import SeededRandom

KNOWN = Remembered("b:1883", "a-up", "lineage", frozenset({"x", "y"}))


def test_it_is_there_after_a_restart_and_is_about_one_session():
    async def main() -> None:
        disk = SimDisk(SeededRandom(1))
        memory = BridgeMemory(disk)
        assert memory.get("up") is None
        memory.put("up", KNOWN)
        memory.put("gone", KNOWN)
        memory.forget("gone")
        again = BridgeMemory(disk)
        assert (again.get("up"), again.names()) == (KNOWN, ["up"])
        assert KNOWN.is_of("b:1883", "a-up", "lineage")
        for other in (("c:1883", "a-up", "lineage"), ("b:1883", "b", "lineage"), ("b:1883", "a-up", "restored")):
            assert not KNOWN.is_of(*other)

    run(main)


def test_a_file_that_cannot_be_read_is_as_good_as_none():
    async def main() -> None:
        disk = SimDisk(SeededRandom(1))
        disk.write(FILE, b"{")
        assert BridgeMemory(disk).names() == []

    run(main)
