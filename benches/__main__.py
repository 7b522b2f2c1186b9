"""`make bench`: measures what is fast here beside the peers it is measured against, and prints one table.

python -m benches [NAME...]      all but those that take many minutes, or those named
"""

import sys
from collections.abc import Callable

from benches import (
    appends,
    attacks,
    fanin,
    functions,
    gateway,
    memory,
    mqtt_cores,
    mqtt_fan,
    mqtt_fold,
    mqtt_intake,
    mqtt_retained,
    pauses,
    snapshot,
    uplink,
)
from benches.harness import Row, print_table

BENCHES: dict[str, Callable[[], list[Row]]] = {
    "mqtt": mqtt_intake.measure,
    "fan": mqtt_fan.measure,
    "retained": mqtt_retained.measure,
    "fold": mqtt_fold.measure,
    "cores": mqtt_cores.measure,
    "appends": appends.measure,
    "uplink": uplink.measure,
    "snapshot": snapshot.measure,
    "pauses": pauses.measure,
    "functions": functions.measure,
    "attacks": attacks.measure,
    "gateway": gateway.measure,
    "memory": memory.measure,
    "drain": uplink.measure_drain,
    "fanin": fanin.measure,
}
LONG = ("drain", "fanin")

if __name__ == "__main__":
    names = sys.argv[1:] or [name for name in BENCHES if name not in LONG]
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        raise SystemExit(2)
    print_table([row for name in names for row in BENCHES[name]()])
