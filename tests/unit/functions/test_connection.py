import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from littoral.core.errors import StartupError
from littoral.functions.connection import FrameConnection, check_socket_path


class Recorder(FrameConnection):
    def __init__(self) -> None:
        super().__init__(100)
        self.bodies: list[bytes] = []
        self.ended = asyncio.Event()
        self.pid = 0

    def opened(self) -> None:
        self.pid = self.peer_pid()

    def received(self, body: bytes) -> None:
        if body == b"nonsense":
            raise ValueError
        self.bodies.append(body)

    def lost(self) -> None:
        self.ended.set()


def test_frames_travel_both_ways_and_a_broken_one_ends_the_connection() -> None:
    async def scenario(path: str) -> None:
        loop = asyncio.get_running_loop()
        servers: list[Recorder] = []

        def accept() -> Recorder:
            servers.append(Recorder())
            return servers[-1]

        listener = await loop.create_unix_server(accept, path)
        for last in (b"nonsense", b"x" * 101):
            _, client = await loop.create_unix_connection(Recorder, path)
            assert client.pid == os.getpid()
            for body in (b"a", b"", b"b" * 100, last):
                client.send(body)
            await client.ended.wait()
            assert servers[-1].bodies == [b"a", b"", b"b" * 100]
        _, client = await loop.create_unix_connection(Recorder, path)
        client.send(b"last words")
        client.close()
        await client.ended.wait()
        await servers[-1].ended.wait()
        assert servers[-1].bodies == [b"last words"]
        listener.close()

    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        asyncio.run(scenario(f"{directory}/s"))


def test_a_path_that_the_kernel_would_cut_is_refused() -> None:
    assert check_socket_path(Path("/" + "x" * 106)) == "/" + "x" * 106
    with pytest.raises(StartupError, match="Use a shorter data directory"):
        check_socket_path(Path("/" + "x" * 107))
