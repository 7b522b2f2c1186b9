"""From names to connections."""

import asyncio
import os
import socket

import pytest

from littoral.drivers.origin_connect import Address, TlsContexts, addresses_of, connected
from tests.support.certificates import TestCa
from tests.support.origins import descriptors, drive


class Listening:
    """A socket that takes connections, or refuses them."""

    def __init__(self, *, takes=True):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        if takes:
            self.socket.listen()
        self.address = Address(socket.AF_INET, self.socket.getsockname())

    def close(self):
        self.socket.close()


class Full(Listening):
    """A socket whose queue is full: connecting to it neither succeeds nor fails."""

    def __init__(self):
        super().__init__()
        self.socket.listen(0)
        self.waiting = [socket.socket() for _ in range(2)]
        for each in self.waiting:
            each.setblocking(False)
            each.connect_ex(self.address.where)

    def close(self):
        for each in self.waiting:
            each.close()
        super().close()


def tried(*places, head_start_s=0.01):
    """Which was connected to. Nothing is left open."""
    result = []

    async def main():
        before = descriptors()
        try:
            with await connected([each.address for each in places], head_start_s) as sock:
                result.append([each.address.where for each in places].index(sock.getpeername()))
        finally:
            assert descriptors() == before

    try:
        drive(main())
    finally:
        for place in places:
            place.close()
    return result[0]


def test_the_first_address_that_answers_is_taken():
    assert tried(Listening()) == 0
    assert tried(Listening(), Listening()) == 0
    assert tried(Listening(takes=False), Listening()) == 1


def test_an_address_that_does_not_answer_is_not_waited_for():
    assert tried(Full(), Listening(takes=False), Listening()) == 2


def test_an_address_that_refuses_is_not_waited_for_either():
    async def main():
        refusing, taking = Listening(takes=False), Listening()
        async with asyncio.timeout(5):
            (await connected([refusing.address, taking.address], 1000)).close()
        refusing.close()
        taking.close()

    drive(main())


def test_if_none_answers_the_first_failure_says_why():
    with pytest.raises(ConnectionRefusedError):
        tried(Listening(takes=False), Listening(takes=False))


def test_whoever_does_not_wait_leaves_nothing_open():
    async def main():
        before = descriptors()
        task = asyncio.ensure_future(connected([full.address, full.address], 0.001))
        for _ in range(100):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert descriptors() == before

    full = Full()
    drive(main())
    full.close()


def test_an_address_is_not_looked_up():
    async def main():
        assert await addresses_of("127.0.0.1", 80) == [Address(socket.AF_INET, ("127.0.0.1", 80))]
        assert await addresses_of("::1", 80) == [Address(socket.AF_INET6, ("::1", 80, 0, 0))]

    class Loop(asyncio.SelectorEventLoop):
        async def getaddrinfo(self, *args, **kwargs):
            raise AssertionError

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_families_are_tried_in_turns():
    class Loop(asyncio.SelectorEventLoop):
        async def getaddrinfo(self, host, port, **kwargs):
            return [(socket.AF_INET6, 0, 0, "", (name, port, 0, 0)) for name in ("6a", "6b", "6c")] + [
                (socket.AF_INET, 0, 0, "", (name, port)) for name in ("4a", "4a")
            ]

    async def main():
        assert [each.where[0] for each in await addresses_of("origin", 80)] == ["6a", "4a", "6b", "6c"]

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_a_file_of_cas_is_read_again_when_it_has_changed(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_bytes(TestCa("one").pem)

    async def main():
        contexts = TlsContexts()
        first = await contexts.of(str(file))
        assert await contexts.of(str(file)) is first
        assert await contexts.of("") is await contexts.of("")
        file.write_bytes(TestCa("two").pem)
        os.utime(file, (1, 1))
        assert await contexts.of(str(file)) is not first

    drive(main())
