"""What must be there, computed from what the clients know, and the comparison with what is. Knows nothing of Littoral."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.soak.devices import Reading

SIZE_S, LATENESS_S = 20, 60
"""What documents/soak.yaml says, said again: this module must not learn it from what it checks."""
EXAMPLES_MOST = 5
TOLERANCE = 1e-9
ROUNDED = ("mean", "stddev")
"""The two ways of computing these round differently."""
Window = dict[str, float]


def windows_of(readings: Sequence[Reading]) -> dict[tuple[int, int], Window]:
    """(start, end) in ms -> the aggregates of every window of one device that is closed: whose end is behind the latest
    reading by the lateness."""
    latest = max((each.ts for each in readings), default=0)
    inside: dict[int, list[float]] = {}
    for each in sorted(readings, key=lambda reading: reading.ts):
        inside.setdefault(each.ts // SIZE_S * SIZE_S, []).append(each.value)
    return {
        (start * 1000, (start + SIZE_S) * 1000): _aggregates(values)
        for start, values in inside.items()
        if start + SIZE_S + LATENESS_S <= latest
    }


def _aggregates(values: list[float]) -> Window:
    mean = math.fsum(values) / len(values)
    spread = math.fsum((value - mean) ** 2 for value in values)
    return {
        "count": len(values),
        "min": min(values),
        "max": max(values),
        "mean": mean,
        "stddev": math.sqrt(spread / (len(values) - 1)) if len(values) > 1 else 0.0,
        "first": values[0],
        "last": values[-1],
    }


def wrong_windows(site: str, readings: Mapping[str, Sequence[Reading]], held: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the windows of a site that the root holds, in words. readings: by topic."""
    expected = {
        (topic, *place): window for topic, each in readings.items() for place, window in windows_of(each).items()
    }
    wrong = []
    seen: Counter[tuple[Any, ...]] = Counter()
    ids: Counter[Any] = Counter()
    for record in held:
        name = (record.get("key"), record.get("start"), record.get("end"))
        seen[name] += 1
        ids[record.get("id")] += 1
        if record.get("node") != site:
            wrong.append(f"window {name} says it is of {record.get('node')!r}")
        if name not in expected:
            wrong.append(f"window {name} was not expected")
        elif differing := [
            field for field in expected[name] if not _same(field, record.get(field), expected[name][field])
        ]:
            field = differing[0]
            wrong.append(f"window {name}: {field} is {record.get(field)!r}, expected {expected[name][field]!r}")
    wrong += [f"window {name} is there {count} times" for name, count in seen.items() if count > 1]
    wrong += [f"id {each!r} is given {count} times" for each, count in ids.items() if count > 1]
    wrong += [f"window {name} is lost" for name in expected if not seen[name]]
    return _first(f"{site}'s windows at the root", wrong)


def _same(field: str, found: object, wanted: float) -> bool:
    if not isinstance(found, int | float):
        return False
    return math.isclose(found, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE) if field in ROUNDED else found == wanted


def wrong_readings(device: str, acknowledged: Iterable[int], stored: Iterable[int]) -> list[str]:
    """Acknowledged readings that the site does not hold. That it holds some twice is allowed."""
    lost = sorted(set(acknowledged) - set(stored))
    return _first(f"{device}'s readings", [f"number {n} was acknowledged and is not stored" for n in lost])


def wrong_journal(stream: str, acknowledged: int, held: Sequence[int]) -> list[str]:
    """held: the numbers in the root's copy, in order."""
    if list(held) == list(range(acknowledged)):
        return []
    counts = Counter(held)
    wrong = [f"{n} was acknowledged and is lost" for n in range(acknowledged) if n not in counts]
    wrong += [f"{n} is there {count} times" for n, count in counts.items() if count > 1]
    wrong += [f"{n} was never acknowledged" for n in counts if n >= acknowledged]
    return _first(f"{stream} at the root", wrong or [f"out of order: {list(held)[:20]} …"])


def wrong_keys(
    tables: Mapping[str, Mapping[str, bytes]],
    own: Mapping[str, bytes | None],
    shared: Mapping[str, Iterable[bytes | None]],
) -> list[str]:
    """tables: what each node holds. own: what the only writer of a key had acknowledged last. shared: what each of
    several writers had, any of which may be the last."""
    wrong = []
    for node, table in tables.items():
        wrong += [
            f"{node} holds {table.get(key)!r} at {key}, acknowledged was {value!r}"
            for key, value in own.items()
            if table.get(key) != value
        ]
        wrong += [
            f"{node} holds {table.get(key)!r} at {key}, which nobody wrote last"
            for key, values in shared.items()
            if table.get(key) not in values
        ]
    first_node, first = next(iter(tables.items()))
    for node, table in tables.items():
        differing = sorted(key for key in first.keys() | table.keys() if first.get(key) != table.get(key))
        wrong += [f"{first_node} and {node} differ at {key}" for key in differing]
    return _first("key-value", wrong)


def _first(of: str, wrong: list[str]) -> list[str]:
    """A few of them, and how many more there are."""
    shown = [f"{of}: {each}" for each in wrong[:EXAMPLES_MOST]]
    if len(wrong) > EXAMPLES_MOST:
        shown.append(f"{of}: and {len(wrong) - EXAMPLES_MOST} more")
    return shown
