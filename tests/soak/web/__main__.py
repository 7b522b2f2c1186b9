"""`make soak-web`: gateways before an origin under mixed traffic, killed at random: no request fails but those that a killed gateway
had in hand, nobody is given what is not the page that was asked for, or what was purged, and neither memory nor connections grow.

python -m tests.soak.web [--minutes N] [--seed N]

Exit code 0: nothing is wrong. 1: something is.
"""

import argparse
import os
import sys

import uvloop

from tests.soak.web.run import Run


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.soak.web", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="of traffic (default 5)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)), help="of traffic and deaths")
    arguments = parser.parse_args()
    run = Run(arguments.seed, arguments.minutes * 60)
    uvloop.run(run.run())
    for what, count in sorted(run.tally.counts.items()):
        print(f"{count:>9,}  {what}")
    print(f"{run.most_held >> 10:>9,}  KiB held by the caches of all gateways, at most")
    print(f"{run.growth_bytes >> 10:>9,}  KiB that the gateway which was not killed grew by, second quarter to last")
    print(f"{len(run.tally.violations)} violations, seed {arguments.seed}", flush=True)
    return 1 if run.tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
