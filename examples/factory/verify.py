"""Is every window and every anomaly of every site at the root, exactly once, and right?

Knows nothing of Littoral: it computes what must be there from the recordings alone, with the plainest formulas
there are, and compares with what the root holds. Standard library only.

    python examples/factory/verify.py --held DIRECTORY --site plant-a --site plant-b

DIRECTORY holds, for each site, <site>.windows.jsonl and <site>.alerts.jsonl: the records of the two streams, one
JSON object a line. Exit code 0: all is there, once, and right. 1: it is not. 2: wrong usage.
"""

import argparse
import csv
import json
import math
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Reading = tuple[int, int, float]
"""Number, milliseconds since the epoch, value."""
Expected = dict[tuple[str | int, ...], dict[str, float]]
"""What identifies a record, to the fields it must have."""
Report = dict[str, Any]

DATA = Path(__file__).parent / "data"
HOUR_MS = 3_600_000
# What rules.yaml says, said again: this script must not learn it from what it checks.
LINES: dict[str, dict[str, Any]] = {
    "machine": {
        "recording": "machine_temperature_system_failure.csv",
        "size_ms": 1 * HOUR_MS,
        "lateness_ms": 2 * HOUR_MS,
        "preceding": 100,
        "threshold": 5.0,
    },
    "ambient": {
        "recording": "ambient_temperature_system_failure.csv",
        "size_ms": 6 * HOUR_MS,
        "lateness_ms": 6 * HOUR_MS,
        "preceding": 50,
        "threshold": 3.5,
    },
}
MINIMUM = 10
TOLERANCE = 1e-9
"""Relative: the two ways of computing round differently."""
EXAMPLES_MOST = 5


def recorded(line: str, from_row: int = 1, to_row: int = sys.maxsize) -> list[Reading]:
    """The readings of a line, in order of arrival."""
    with (DATA / LINES[line]["recording"]).open(newline="") as file:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
    return [
        (number, int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000, value)
        for number, (text, value) in enumerate(rows, start=1)
        if from_row <= number <= to_row
    ]


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation, in two passes."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def expected_windows(site: str, line: str, readings: list[Reading]) -> Expected:
    """The windows that must be there, by what identifies them. One is closed once a reading is later than its end by
    the lateness; those at the end of the recording never are."""
    size_ms, lateness_ms = LINES[line]["size_ms"], LINES[line]["lateness_ms"]
    inside: dict[int, list[tuple[int, float]]] = {}
    latest = 0
    for _, ts, value in readings:
        latest = max(latest, ts)
        end = (ts // size_ms + 1) * size_ms
        if end + lateness_ms > latest:
            inside.setdefault(end, []).append((ts, value))
    key = f"factory/{site}/{line}/temperature"
    windows: Expected = {}
    for end, found in inside.items():
        if end + lateness_ms > latest:
            continue
        values = [value for _, value in found]
        mean, stddev = spread(values)
        by_time = sorted(found, key=lambda reading: reading[0])  # stable: equal times stay in order of arrival
        windows[line, site, key, end - size_ms, end] = {
            "count": len(values),
            "min": min(values),
            "max": max(values),
            "mean": mean,
            "stddev": stddev,
            "first": by_time[0][1],
            "last": by_time[-1][1],
        }
    return windows


def expected_alerts(site: str, line: str, readings: list[Reading]) -> Expected:
    """The anomalies that must be there, by what identifies them."""
    key = f"factory/{site}/{line}/temperature"
    alerts: Expected = {}
    for index in range(MINIMUM, len(readings)):
        number, ts, value = readings[index]
        before = [found for _, _, found in readings[max(0, index - LINES[line]["preceding"]) : index]]
        mean, stddev = spread(before)
        if stddev > 0 and abs(value - mean) / stddev > LINES[line]["threshold"]:
            alerts[line, site, key, number] = {
                "ts": ts,
                "value": value,
                "zscore": (value - mean) / stddev,
                "mean": mean,
                "stddev": stddev,
            }
    return alerts


WINDOW_IDENTITY = ("rule", "node", "key", "start", "end")
ALERT_IDENTITY = ("rule", "node", "key", "sequence")


def compare(expected: Expected, held: list[dict[str, Any]], identity: tuple[str, ...]) -> Report:
    """What is lost, duplicated, wrong (other values, or not expected at all); numbers, and a few examples."""
    report: Report = {"expected": len(expected), "found": 0, "lost": 0, "duplicated": 0, "wrong": 0, "examples": []}

    def note(kind: str, what: object) -> None:
        report[kind] += 1
        if len(report["examples"]) < EXAMPLES_MOST:
            report["examples"].append(f"{kind}: {what}")

    seen: Counter[tuple[object, ...]] = Counter()
    ids: Counter[object] = Counter()
    for record in held:
        name = tuple(record.get(part) for part in identity)
        seen[name] += 1
        ids[record.get("id")] += 1
        if seen[name] > 1:
            note("duplicated", name)
        elif name not in expected:
            note("wrong", f"{name} was not expected")
        elif (differing := differences(expected[name], record)) is not None:
            note("wrong", f"{name}: {differing}")
        elif not isinstance(record.get("id"), str) or ids[record["id"]] > 1:
            note("wrong", f"{name}: its id {record.get('id')!r} is not its own")
        else:
            report["found"] += 1
    for name in expected:
        if not seen[name]:
            note("lost", name)
    return report


def differences(expected: dict[str, float], record: dict[str, Any]) -> str | None:
    """The first field that is not as expected, in words; None if all are."""
    for field, wanted in expected.items():
        found = record.get(field)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        is_rounded = field in {"mean", "stddev", "zscore"}
        if not is_number or (not close(found, wanted) if is_rounded else found != wanted):
            return f"{field} is {found!r}, expected {wanted!r}"
    return None


def close(found: Any, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def held_records(path: Path) -> list[dict[str, Any]]:
    with path.open() as file:
        return [json.loads(line) for line in file if line.strip()]


def verify(held: Path, sites: list[str], *, from_row: int = 1, to_row: int = sys.maxsize) -> dict[str, Report]:
    """A report for each site and stream, by the name of its file."""
    reports: dict[str, Report] = {}
    lines = {line: recorded(line, from_row, to_row) for line in LINES}
    for site in sites:
        windows: Expected = {}
        alerts: Expected = {}
        for line, readings in lines.items():
            windows |= expected_windows(site, line, readings)
            alerts |= expected_alerts(site, line, readings)
        for name, expected, identity in (("windows", windows, WINDOW_IDENTITY), ("alerts", alerts, ALERT_IDENTITY)):
            reports[f"{site}.{name}"] = compare(expected, held_records(held / f"{site}.{name}.jsonl"), identity)
    return reports


def is_right(reports: dict[str, Report]) -> bool:
    return all(report["found"] == report["expected"] and not report["examples"] for report in reports.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--held", type=Path, required=True, help="directory with what the root holds")
    parser.add_argument("--site", action="append", required=True, dest="sites", help="may be given more than once")
    parser.add_argument("--from-row", type=int, default=1, help="first row that was replayed, from 1")
    parser.add_argument("--to-row", type=int, default=sys.maxsize, help="last row that was replayed")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    args = parser.parse_args()
    try:
        reports = verify(args.held, args.sites, from_row=args.from_row, to_row=args.to_row)
    except (OSError, ValueError) as error:
        print(f"cannot read what the root holds: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(reports, indent=2))
        return 0 if is_right(reports) else 1
    columns = ("expected", "found", "lost", "duplicated", "wrong")
    print(f"{'':24}" + "".join(f"{column:>12}" for column in columns))
    for name, report in reports.items():
        print(f"{name:24}" + "".join(f"{report[column]:>12,}" for column in columns))
        for example in report["examples"]:
            print(f"    {example}")
    return 0 if is_right(reports) else 1


if __name__ == "__main__":
    sys.exit(main())
