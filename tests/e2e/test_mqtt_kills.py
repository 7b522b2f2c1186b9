"""A broker that is killed at any moment keeps what it promised. `python -m tests.soak.mqtt_kills` does it as often as one likes."""

import asyncio
from pathlib import Path

from tests.support.mqtt_kills import Kills

KILLS = 2


def test_nothing_that_was_acknowledged_is_lost_and_no_qos_2_message_comes_twice(tmp_path: Path, seed: int):
    async def main() -> None:
        kills = Kills(tmp_path, seed)
        try:
            await kills.run(KILLS)
        finally:
            await kills.stop()
            kills.close()
        assert kills.kills == KILLS
        assert kills.published > 0

    asyncio.run(main())
