"""`littoral demo --check`, shortened: a tenth of the recordings, at a quicker pace."""

import json
import subprocess
import sys
from pathlib import Path

FACTORY = Path(__file__).parents[2] / "examples" / "factory"
ROWS = 4000


def test_the_demo_loses_nothing_and_its_table_adds_up(tmp_path):
    state = tmp_path / "d"
    command = [sys.executable, "-m", "littoral.cli.main", "demo", "--check", "--json", "--app", str(FACTORY)]
    command += ["--rows", str(ROWS), "--replay", "20", "--state-dir", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)
    assert table["readings"] == 4 * ROWS
    assert (table["lost"], table["duplicated"], table["wrong"], table["dead_letters"]) == (0, 0, 0, 0)
    assert table["problems"] == []
    # As the verification computes them from the first rows of the recordings, for two sites.
    assert (table["windows"], table["anomalies"]) == (1998, 44)
    assert table["kv_keys"] == 10, "a window and an alert of four lines, and two keys written while cut off"
    assert table["bytes_raw"] > table["bytes_shipped"] > 0
    assert 0 < table["edge"]["p50_ms"] < 150 <= table["cloud"]["p50_ms"], "only one of them crosses a WAN"
    assert table["edge"]["failed"] == 0
    assert "✗" not in done.stderr
