"""What becomes of a run where the process that runs models ends."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from littoral.functions.connection import FrameConnection
from littoral.functions.inference_messages import Ran, decode_run, encode
from littoral.functions.worker.inference_client import ATTEMPTS, InferenceClient
from littoral.workers.ai import AIError, ModelInputs
from tests.support.left_behind import left_behind

FRAME_BYTES = 1 << 16
NOTHING = ModelInputs({}, {})


class Line(FrameConnection):
    """Admits, and answers; or ends when it is asked."""

    def __init__(self, asked: list[int], answers: Callable[[], bool]) -> None:
        super().__init__(FRAME_BYTES)
        self._asked = asked
        self._answers = answers
        self._is_new = True

    def received(self, body: bytes) -> None:
        if self._is_new:
            self._is_new = False
            self.send(encode(Ran(0)))
            return
        run = decode_run(body)
        self._asked.append(run.id)
        if self._answers():
            self.send(encode(Ran(run.id, {"y": [1]})))
        else:
            self.close()


async def started(operation: str, name: str, arguments: list[object]) -> None:
    """The hub: it is on its way."""


def client_of(path: Path) -> InferenceClient:
    return InferenceClient(str(path), "shop 0 00", "1", 10.0, FRAME_BYTES, started)


def test_one_that_is_being_ended_and_still_lets_in_does_not_count() -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="lit") as folder:
            path, asked = Path(folder, "i"), list[int]()
            with left_behind(path) as ended:
                client = client_of(path)
                running = asyncio.ensure_future(client.run("twice", NOTHING))
                await ended()
            os.unlink(path)
            server = await asyncio.get_running_loop().create_unix_server(lambda: Line(asked, lambda: True), str(path))
            assert await running == {"y": [1]}
            assert len(asked) == 1
            client.close()
            server.close()

    asyncio.run(main())


@pytest.mark.parametrize("ends", range(ATTEMPTS + 1))
def test_a_run_whose_process_ends_is_asked_for_once_more(ends: int) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="lit") as folder:
            path, asked = Path(folder, "i"), list[int]()
            server = await asyncio.get_running_loop().create_unix_server(
                lambda: Line(asked, lambda: len(asked) > ends), str(path)
            )
            client = client_of(path)
            running = client.run("twice", NOTHING)
            if ends < ATTEMPTS:
                assert await running == {"y": [1]}
            else:
                with pytest.raises(AIError, match="ended twice meanwhile"):
                    await running
            assert len(asked) == min(ends + 1, ATTEMPTS)
            client.close()
            server.close()

    asyncio.run(main())
