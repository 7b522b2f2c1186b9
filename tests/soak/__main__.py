"""`make soak`: a tree of real processes under load, disturbed in every way this machine allows; then it heals, and
everything that was acknowledged must be where it belongs, once.

python -m tests.soak [--minutes N] [--seed N] [--faults KIND,KIND...]

Exit code 0: nothing is wrong. 1: something is; the seed and the nodes' directories are kept. 2: wrong usage. 130: interrupted.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import uvloop

from littoral.core.errors import LittoralError
from tests.soak.isolation import isolate
from tests.soak.report import Report
from tests.soak.schedule import BY_NAME, KINDS
from tests.soak.soak import Soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="until the last fault is over (default 10)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)), help="of faults and load")
    parser.add_argument("--faults", default="", help=f"only these: {','.join(BY_NAME)}")
    arguments = parser.parse_args()
    names = [name for name in arguments.faults.split(",") if name] or list(BY_NAME)
    if unknown := sorted(set(names) - set(BY_NAME)):
        parser.error(f"no such fault: {', '.join(unknown)}")
    isolate()
    report = Report(arguments.seed)
    # Short: the kernel bounds the path of a Unix socket.
    folder = Path(tempfile.mkdtemp(prefix="soak"))
    print(f"seed {arguments.seed}, in {folder}", flush=True)
    soak = Soak(folder, [kind for kind in KINDS if kind.name in names], arguments.minutes * 60, report)
    try:
        uvloop.run(soak.run())
    except LittoralError as error:
        report.violated(str(error))
    except KeyboardInterrupt:
        print(f"interrupted, see {folder}")
        return 130
    report.show()
    if report.violations:
        print(f"see {folder}; --seed {arguments.seed} draws the same faults")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
