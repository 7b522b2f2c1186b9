import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from littoral.core.limits import Limits
from littoral.core.resources import Rule
from littoral.core.resources.decode import decode_resources
from littoral.iot.rules import Alert, CompiledRule, WindowResult

FACTORY = Path(__file__).parents[3] / "examples" / "factory"
SITE = "plant-a"
ARRIVED_MS = 1_500_000_000_000
"""In 2017: after what the recordings hold."""
RESOURCES = [
    resource
    for resource in decode_resources((FACTORY / "rules.yaml").read_text(), "rules.yaml")
    if isinstance(resource, Rule)
]


def _load(name):
    spec = importlib.util.spec_from_file_location(f"factory_{name}", FACTORY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


verify = _load("verify")


def payload(reading):
    n, ts_ms, value = reading
    return json.dumps({"n": n, "ts": ts_ms // 1000, "value": value}).encode()


@pytest.fixture(scope="module")
def rules():
    """The compiled rules of the example, fed with all of the recordings, and what came out of them."""
    found = []
    for resource in RESOURCES:
        rule = CompiledRule(resource, SITE, Limits())
        for reading in verify.recorded(rule.name):
            rule.fold(f"factory/{SITE}/{rule.name}/temperature", payload(reading), ARRIVED_MS, None)
        found.append((rule, rule.take_outputs()))
    return found


@pytest.fixture
def held(tmp_path, rules):
    """What the root holds when all went well."""
    outputs = [output for _, found in rules for output in found]
    for name, kind in (("windows", WindowResult), ("alerts", Alert)):
        lines = [output.document().decode() + "\n" for output in outputs if isinstance(output, kind)]
        (tmp_path / f"{SITE}.{name}.jsonl").write_text("".join(lines))
    return tmp_path


def change(path, edit):
    lines = path.read_text().splitlines(keepends=True)
    edit(lines)
    path.write_text("".join(lines))


def test_nothing_in_the_recordings_is_late_or_a_duplicate_or_cannot_be_read(rules):
    for rule, outputs in rules:
        assert (rule.counters.late, rule.counters.duplicates, rule.counters.undecodable) == (0, 0, 0)
        assert all(isinstance(output, WindowResult | Alert) for output in outputs)


def test_every_reading_is_in_a_window_or_in_one_that_is_still_open(rules):
    for rule, outputs in rules:
        windows = [output for output in outputs if isinstance(output, WindowResult)]
        last_end = windows[-1].end
        readings = verify.recorded(rule.name)
        assert sum(window.aggregates["count"] for window in windows) == sum(ts < last_end for _, ts, _ in readings)
        assert all(ts < last_end for _, ts, _ in readings[:-60])


def test_there_are_some_tens_of_anomalies(rules):
    assert {rule.name: rule.counters.alerts for rule, _ in rules} == {"machine": 53, "ambient": 28}


def test_what_the_rules_make_is_what_the_recordings_alone_say(held):
    reports = verify.verify(held, [SITE])
    assert verify.is_right(reports), reports
    assert reports[f"{SITE}.windows"]["expected"] == 1888 + 1215


def test_a_part_of_the_recordings_is_judged_as_a_part(tmp_path):
    names = {"windows": WindowResult, "alerts": Alert}
    found: dict[str, list[str]] = {name: [] for name in names}
    for resource in RESOURCES:
        rule = CompiledRule(resource, SITE, Limits())
        for reading in verify.recorded(rule.name, 100, 2000):
            rule.fold(f"factory/{SITE}/{rule.name}/temperature", payload(reading), ARRIVED_MS, None)
        for output in rule.take_outputs():
            assert isinstance(output, WindowResult | Alert)
            found["windows" if isinstance(output, WindowResult) else "alerts"].append(output.document().decode())
    for name, documents in found.items():
        (tmp_path / f"{SITE}.{name}.jsonl").write_text("\n".join(documents))
    assert verify.is_right(verify.verify(tmp_path, [SITE], from_row=100, to_row=2000))
    assert not verify.is_right(verify.verify(tmp_path, [SITE], from_row=100, to_row=2100))


def test_a_missing_window_is_lost(held):
    change(held / f"{SITE}.windows.jsonl", lambda lines: lines.pop(17))
    report = verify.verify(held, [SITE])[f"{SITE}.windows"]
    assert (report["lost"], report["duplicated"], report["wrong"]) == (1, 0, 0)


def test_a_window_that_is_there_twice_is_duplicated(held):
    change(held / f"{SITE}.windows.jsonl", lambda lines: lines.append(lines[17]))
    report = verify.verify(held, [SITE])[f"{SITE}.windows"]
    assert (report["lost"], report["duplicated"]) == (0, 1)
    assert not verify.is_right(verify.verify(held, [SITE]))


def test_a_duplicate_under_another_id_is_still_a_duplicate(held):
    def edit(lines):
        lines.append(json.dumps(json.loads(lines[3]) | {"id": "another"}))

    change(held / f"{SITE}.alerts.jsonl", edit)
    report = verify.verify(held, [SITE])[f"{SITE}.alerts"]
    assert (report["lost"], report["duplicated"]) == (0, 1)


@pytest.mark.parametrize(
    ("name", "altered"),
    [
        ("windows", {"mean": 70.00001}),
        ("windows", {"count": 11}),
        ("windows", {"last": None}),
        ("windows", {"id": None}),
        ("alerts", {"value": 0.0}),
        ("alerts", {"zscore": None}),
    ],
)
def test_an_altered_record_is_wrong(held, name, altered):
    def edit(lines):
        lines[5] = json.dumps(json.loads(lines[5]) | altered) + "\n"

    change(held / f"{SITE}.{name}.jsonl", edit)
    report = verify.verify(held, [SITE])[f"{SITE}.{name}"]
    assert (report["lost"], report["duplicated"], report["wrong"]) == (0, 0, 1)


def test_a_window_of_another_place_is_both_lost_and_wrong(held):
    def edit(lines):
        lines[5] = json.dumps(json.loads(lines[5]) | {"node": "plant-b"}) + "\n"

    change(held / f"{SITE}.windows.jsonl", edit)
    report = verify.verify(held, [SITE])[f"{SITE}.windows"]
    assert (report["lost"], report["wrong"]) == (1, 1)


def test_the_command_says_so_with_its_exit_code_and_needs_nothing_but_python(held):
    command = [sys.executable, "-I", "-S", str(FACTORY / "verify.py"), "--held", str(held), "--site", SITE]
    right = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (right.returncode, right.stderr) == (0, "")
    change(held / f"{SITE}.windows.jsonl", lambda lines: lines.pop(0))
    wrong = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert wrong.returncode == 1
    assert "lost: ('machine', 'plant-a'" in wrong.stdout
    (held / f"{SITE}.alerts.jsonl").unlink()
    missing = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert missing.returncode == 1
    assert "cannot read what the root holds" in missing.stderr
