"""Percentiles, and the table they stand in."""

import math

from rich.console import Console

from littoral.cli.local.result import Latency, Result, latency


def result(**changes):
    values = {
        "readings": 59_924,
        "windows": 6206,
        "anomalies": 162,
        "lost": 0,
        "duplicated": 0,
        "wrong": 0,
        "dead_letters": 0,
        "kv_keys": 10,
        "bytes_raw": 3 * 1024 * 1024,
        "bytes_shipped": 2 * 1024 * 1024,
        "edge": Latency(100, 0, 5.0, 20.0),
        "cloud": Latency(10, 0, 155.0, 300.0),
        "hub_restart_s": 0.7,
        "slowest_during_restart_ms": 700.0,
        "failed_during_restart": 0,
        "catch_up_s": 1.9,
        "took_s": 75.0,
    }
    return Result(**{**values, **changes})


def test_percentiles_are_by_nearest_rank():
    assert latency([float(number) for number in range(100, 0, -1)], failed=2) == Latency(100, 2, 50.0, 99.0)
    assert latency([7.0], failed=0) == Latency(1, 0, 7.0, 7.0)


def test_nothing_answered_has_no_percentiles():
    assert math.isnan(latency([], failed=3).p99_ms)


def test_the_ratio_is_of_raw_to_shipped():
    assert result().ratio == 1.5
    assert result(bytes_shipped=0).ratio == 3 * 1024 * 1024


def test_the_table_fits_a_terminal_of_80_columns():
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(result().table())
    lines = console.export_text().splitlines()
    assert len(lines) == 15, "no row is wrapped"
    assert any("HTTP at the edge" in line and "5.0 / 20.0 ms" in line for line in lines)
