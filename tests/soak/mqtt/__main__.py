"""`make soak-mqtt`: nodes whose hubs are killed with kill -9 as often as can be, under MQTT clients of all kinds: nothing that was
acknowledged is lost, nothing of QoS 2 comes twice, and what is retained is the last that was acknowledged, or a later one.

python -m tests.soak.mqtt [--minutes N] [--seed N] [--nodes N] [--kills N] [--bridge | --root]

Exit code 0: nothing is wrong. 1: something is, and it is said what, and where the nodes' directories are. The seed draws when hubs are
killed and what clients do; what the processes are doing then differs from run to run.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.soak.mqtt.run import Run


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.soak.mqtt", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="until the last kill (default 10)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)), help="of kills and clients")
    parser.add_argument("--nodes", type=int, default=2, help="at a time (default 2)")
    parser.add_argument("--kills", type=int, default=1 << 30, help="end after so many")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--bridge", dest="kind", action="store_const", const="bridge", help="to a mosquitto, which is not killed"
    )
    kind.add_argument(
        "--root", dest="kind", action="store_const", const="root", help="from sites to their roots, both killed"
    )
    arguments = parser.parse_args()
    keep = Path(tempfile.mkdtemp(prefix="soak-mqtt-"))
    run = Run(arguments.seed, arguments.minutes * 60, arguments.kills, keep)
    uvloop.run(run.run(arguments.nodes, arguments.kind or "plain"))
    run.tally.show(arguments.seed)
    if run.tally.violations:
        print(f"see {keep}")
        return 1
    keep.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main())
