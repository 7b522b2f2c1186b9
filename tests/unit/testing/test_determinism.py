"""The same seed is the same run, in every process: what happened, and each byte that is left on the disks."""

import os
import subprocess
import sys

from tests.support.repeated_run import main

SEED = 5


def in_another_process(hash_seed: str) -> list[str]:
    command = [sys.executable, "-m", "tests.support.repeated_run", str(SEED)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


def test_two_processes_and_two_runs_in_one_leave_the_same_bytes():
    here = list(main(SEED))
    for event in ("requests_lost", "held", "duplicated", "handled"):
        assert any(f" {event} " in line for line in here), event
    assert any("store.db-wal" in line for line in here)
    assert list(main(SEED)) == here
    assert in_another_process("1") == here
    assert in_another_process("2") == here


def test_another_seed_is_another_run():
    assert list(main(SEED + 1)) != list(main(SEED))
