import asyncio
import threading
from pathlib import Path
from typing import cast

import pytest

from littoral.functions.worker.background import Background
from littoral.functions.worker.failures import Failures
from tests.unit.functions.worker.test_worker import spec


def test_work_that_another_thread_hands_over_is_done_by_the_loop() -> None:
    async def main() -> None:
        began, done = list[int](), asyncio.Event()
        background = Background(
            spec(Path()), cast(Failures, None), lambda: began.append(threading.get_ident()), lambda: None
        )

        async def work() -> None:
            assert background.is_busy
            with pytest.raises(RuntimeError, match="holds 1 tasks already, which is its limit"):
                background.start(asyncio.get_running_loop().create_future())
            done.set()

        await asyncio.to_thread(background.start, work())
        async with asyncio.timeout(10):
            await done.wait()
        assert began == [threading.get_ident()]

    asyncio.run(main())
