"""The soak's short form: a tree of real processes, one of each fault that is cheap, and nothing acknowledged is missing.

What tells that something is missing must be able to: its parts are given what is wrong.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.devices import BEGIN_S, Reading
from tests.soak.expected import LATENESS_S, SIZE_S, windows_of, wrong_journal, wrong_keys, wrong_readings, wrong_windows
from tests.soak.schedule import KINDS, Schedule
from tests.soak.verdict import damages

REPOSITORY = Path(__file__).parents[2]
CHEAP = ("kill-hub", "kill-supervisor", "stop-hub", "disk-full", "disk-read-only", "cut", "loss", "clock")
DEADLINE_S = 600
"""Of a run that is to take less than a minute, on a machine that is busy with other things as well."""


def test_nothing_acknowledged_is_lost_or_repeated_whatever_happens_to_processes_disks_clocks_and_links(seed):
    command = [
        sys.executable,
        "-m",
        "tests.soak",
        "--minutes",
        "0.5",
        "--seed",
        str(seed),
        "--faults",
        ",".join(CHEAP),
    ]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as soak:
        try:
            said, _ = soak.communicate(timeout=DEADLINE_S)
        finally:
            if soak.poll() is None:
                os.killpg(soak.pid, signal.SIGKILL)
    assert soak.returncode == 0, said
    assert f"0 violations, seed {seed}" in said
    hits = dict(re.findall(r"^(\S+) +(\d+)   [\d.]+ s, [\d.]+ s$", said, re.MULTILINE))
    skipped = re.findall(r"^(\S+) +skipped: \S", said, re.MULTILINE)
    assert sorted([*hits, *skipped]) == sorted(CHEAP), "each kind was done, or it is said why not"
    assert {"kill-hub", "kill-supervisor", "stop-hub", "cut"} <= hits.keys(), "what no machine forbids"
    counts = {
        what: int(count.replace(",", "")) for count, what in re.findall(r"^ *([\d,]+)  (\S.*)$", said, re.MULTILINE)
    }
    for what in ("readings acknowledged", "key-value writes acknowledged", "appends acknowledged", "pages answered"):
        assert counts[what] > 0, said


# The verdict can fail


def readings(count):
    return [Reading("plant-a/press", n, BEGIN_S + n, float(n % 7)) for n in range(count)]


def held(published):
    return [
        {"id": f"{start}", "node": "plant-a", "key": "soak/plant-a/press", "start": start, "end": end, **window}
        for (start, end), window in windows_of(published).items()
    ]


def wrong(records, published):
    return wrong_windows("plant-a", {"soak/plant-a/press": published}, records)


def test_windows_are_closed_once_the_latest_reading_is_behind_their_end_by_the_lateness():
    assert windows_of(readings(SIZE_S + LATENESS_S)) == {}
    [((start, end), window)] = windows_of(readings(SIZE_S + LATENESS_S + 1)).items()
    assert (start, end) == (BEGIN_S * 1000, (BEGIN_S + SIZE_S) * 1000)
    assert (window["count"], window["first"], window["last"], window["max"]) == (
        SIZE_S,
        0.0,
        float((SIZE_S - 1) % 7),
        6.0,
    )


def test_what_is_wrong_with_windows_is_told():
    published = readings(400)
    records = held(published)
    assert len(records) > 10
    assert wrong(records, published) == []
    assert "is lost" in wrong(records[1:], published)[0]
    assert "is there 2 times" in wrong([*records, records[0]], published)[0]
    assert "count is 19, expected 20" in wrong([{**records[0], "count": 19}, *records[1:]], published)[0]
    assert "was not expected" in wrong([*records, {**records[0], "id": "x", "start": 1}], published)[0]
    assert "is given 2 times" in wrong([{**records[0], "id": records[1]["id"]}, *records[1:]], published)[0]
    assert "says it is of 'eu'" in wrong([{**records[0], "node": "eu"}, *records[1:]], published)[0]


def test_one_reading_less_is_told():
    published = readings(400)
    assert wrong(held(published), [each for each in published if each.n != 30]) != []
    assert wrong_readings("plant-a/press", range(5), [0, 1, 2, 2, 3, 4]) == []
    assert wrong_readings("plant-a/press", range(5), [0, 1, 2, 4]) == [
        "plant-a/press's readings: number 3 was acknowledged and is not stored"
    ]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([0, 1, 3], "2 was acknowledged and is lost"),
        ([0, 1, 2, 2, 3], "2 is there 2 times"),
        ([0, 2, 1, 3], "out of order"),
        ([0, 1, 2, 3, 4], "4 was never acknowledged"),
    ],
)
def test_what_is_wrong_with_a_journal_is_told(entries, said):
    assert wrong_journal("plant-a/journal", 4, [0, 1, 2, 3]) == []
    assert said in wrong_journal("plant-a/journal", 4, entries)[0]


def test_what_is_wrong_with_keys_is_told():
    right = {"a": b"1", "shared": b"x"}
    own: dict[str, bytes | None] = {"a": b"1", "deleted": None}
    shared: dict[str, list[bytes | None]] = {"shared": [b"x", None]}
    assert wrong_keys({"cloud": right, "eu": right}, own, shared) == []
    assert "eu holds None at a" in wrong_keys({"cloud": right, "eu": {"shared": b"x"}}, own, shared)[0]
    assert "holds b'0' at deleted" in wrong_keys({"cloud": {**right, "deleted": b"0"}}, own, shared)[0]
    assert "which nobody wrote last" in wrong_keys({"cloud": {**right, "shared": b"y"}}, own, shared)[0]
    assert "cloud and eu differ at shared" in wrong_keys({"cloud": right, "eu": {"a": b"1"}}, own, shared)[0]


def test_a_store_that_is_damaged_or_gone_is_told(tmp_path):
    assert damages(tmp_path / "store.db") != []
    (tmp_path / "store.db").write_bytes(b"SQLite format 3\0" + bytes(4080))
    assert damages(tmp_path / "store.db") != []


def test_a_seed_draws_the_same_faults_again_and_each_kind_once_at_first():
    first, again = (Schedule(7, KINDS) for _ in range(2))
    assert first.first == again.first
    assert [fault for fault, _ in zip(first.then(), range(50), strict=False)] == [
        fault for fault, _ in zip(again.then(), range(50), strict=False)
    ]
    assert sorted(fault.kind for fault in first.first) == sorted(kind.name for kind in KINDS)
    assert Schedule(8, KINDS).first != first.first
