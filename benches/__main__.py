"""`make bench`: measures what is fast here beside the peers it is measured against, and prints one table.

python -m benches [NAME...]      all, or those named
"""

import sys
from collections.abc import Callable

from benches import appends, functions, memory, mqtt_fold, mqtt_intake, uplink
from benches.harness import Row, print_table

BENCHES: dict[str, Callable[[], list[Row]]] = {
    "mqtt": mqtt_intake.measure,
    "fold": mqtt_fold.measure,
    "appends": appends.measure,
    "uplink": uplink.measure,
    "functions": functions.measure,
    "memory": memory.measure,
}

if __name__ == "__main__":
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        raise SystemExit(2)
    print_table([row for name in names for row in BENCHES[name]()])
