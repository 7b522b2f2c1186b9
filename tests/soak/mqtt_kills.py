"""A broker that is killed again and again, under clients that publish and subscribe at QoS 1 and 2: nothing that it
acknowledged may be lost, and nothing at QoS 2 come twice.

python -m tests.soak.mqtt_kills [--kills N] [--seed N]

Exit code 0: nothing is wrong. The seed draws when it is killed; what the processes are doing then differs from run to run.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from tests.support.mqtt_kills import Kills

ROUND_KILLS = 50
"""After so many it heals, and what was promised is checked."""


async def _run(kills: int, seed: int) -> None:
    with tempfile.TemporaryDirectory(prefix="kills") as directory:
        work = Kills(Path(directory), seed)
        try:
            while work.kills < kills:
                await work.run(min(ROUND_KILLS, kills - work.kills))
                print(f"{work.kills} kills, all that was promised is there", flush=True)
        finally:
            await work.stop()
            work.close()
            print(f"seed {seed}: {work.kills} kills, {work.published} published, {work.received} received", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.soak.mqtt_kills", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=1000, help="how often (default 1000)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)), help="of when")
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.kills, arguments.seed))
