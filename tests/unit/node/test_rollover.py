"""Gateways are replaced one after another, by processes that serve."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from littoral.node.child import Child
from littoral.node.rollover import READY_S, Rollover
from tests.support.fakes import FakeClock

DEADLINE_S = 20
SERVES = "import os, sys, time; os.write(int(sys.argv[1]), b'1'); time.sleep(60)"
ENDS = "pass"
HANGS = "import time; time.sleep(60)"
BUSY = "import os, signal, sys, time; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.write(int(sys.argv[1]), b'1'); time.sleep(60)"


class Replaced:
    """A rollover over processes that do nothing, and what it said."""

    def __init__(self, *programs: str) -> None:
        """programs: of the next processes, in their order."""
        self.clock = FakeClock()
        self.said: list[str] = []
        self.started: list[subprocess.Popen[bytes]] = []
        self._programs = iter(programs)
        self.rollover = Rollover(self._start, self.clock, self.said.append)
        self.children = [Child(f"gateway-{index}", [], process=self._open(HANGS)) for index in range(2)]

    def _open(self, program: str, ready: int = -1) -> "subprocess.Popen[bytes]":
        pass_fds = [ready] if ready >= 0 else []
        process = subprocess.Popen([sys.executable, "-c", program, str(ready)], pass_fds=pass_fds)
        self.started.append(process)
        return process

    def _start(self, child: Child, ready: int) -> "subprocess.Popen[bytes] | None":
        program = next(self._programs, None)
        return None if program is None else self._open(program, ready)

    def settle(self, until_leaving: int = 0) -> None:
        """Until nothing is left to be done."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self.rollover.is_active or len(self.rollover.leaving) > until_leaving:
            assert time.monotonic() < deadline_s, self.said
            self.rollover.step()
            time.sleep(0.005)


@contextmanager
def replaced(*programs: str) -> Iterator[Replaced]:
    it = Replaced(*programs)
    descriptors = len(os.listdir("/proc/self/fd"))
    try:
        yield it
        assert len(os.listdir("/proc/self/fd")) == descriptors
    finally:
        for process in it.started:
            process.kill()
            process.wait()


def test_each_is_replaced_by_one_that_serves():
    with replaced(SERVES, SERVES) as it:
        before = [child.process for child in it.children]
        it.rollover.begin(it.children)
        it.settle()
        assert [child.process for child in it.children] == it.started[2:]
        assert [process.poll() for process in before if process is not None] == [-1, -1], "they are asked by SIGHUP"
        assert it.said == ["gateway-0 was replaced", "gateway-1 was replaced"]


def test_the_next_is_begun_once_the_one_before_it_serves():
    with replaced(HANGS) as it:
        it.rollover.begin(it.children)
        for _ in range(20):
            assert not it.rollover.step()
        assert len(it.started) == 3
        assert [child.process for child in it.children] == it.started[:2]
        for process in it.rollover.stop():
            process.kill()


def test_one_that_ends_leaves_all_as_it_is():
    with replaced(ENDS, SERVES) as it:
        before = [child.process for child in it.children]
        it.rollover.begin(it.children)
        it.settle()
        assert [child.process for child in it.children] == before
        assert [process.poll() for process in before if process is not None] == [None, None]
        assert it.said[0].startswith("gateway-0 could not be replaced")


def test_one_that_does_not_come_to_serve_is_killed():
    with replaced(HANGS) as it:
        it.rollover.begin(it.children)
        it.rollover.step()
        it.rollover.step()
        assert it.said == []
        it.clock.advance(seconds=READY_S)
        it.settle()
        assert it.started[2].poll() == -9
        assert it.said[0].startswith("gateway-0 could not be replaced")


def test_one_that_cannot_be_started_leaves_all_as_it_is():
    with replaced() as it:
        it.rollover.begin(it.children)
        it.settle()
        assert len(it.started) == 2
        assert len(it.said) == 1


def test_those_that_still_finish_what_they_have_begun_end_with_the_node():
    with replaced(BUSY, SERVES, SERVES, SERVES) as it:
        for _ in range(2):
            it.rollover.begin(it.children)
            it.settle(until_leaving=1)
        assert it.rollover.stop() == [it.started[2]], "it takes no notice of SIGHUP"
        assert [child.process for child in it.children] == it.started[4:]


def test_who_asks_again_meanwhile_gets_each_that_was_begun_before_once_more():
    with replaced(SERVES, SERVES, SERVES) as it:
        it.rollover.begin(it.children)
        it.rollover.step()
        it.rollover.begin(it.children)
        it.settle()
        assert it.said == ["gateway-0 was replaced", "gateway-1 was replaced", "gateway-0 was replaced"]
