"""The interpreters that simulations run in: they may die, and they leave nothing behind."""

from pathlib import Path

import pytest

from littoral.core.errors import Unavailable
from littoral.testing.simulation.draw import draw_plan
from littoral.testing.simulation.orders import Order
from littoral.testing.simulation.processes import Processes

DIES = """\
import os
from littoral.testing.simulation.checks import CHECKS

CHECKS["nobody lives"] = lambda world: os._exit(7)
"""


def orders(count: int) -> list[Order]:
    return [Order(draw_plan(seed, 2, 0.02), whole=False) for seed in range(count)]


def assert_nothing_is_left_of(processes: Processes) -> None:
    for worker in processes._workers:
        assert worker.returncode is not None
        for pipe in (worker.stdin, worker.stdout):
            assert pipe is not None
            assert pipe.closed


def test_what_was_asked_is_answered_and_nothing_is_left():
    with Processes(2) as processes:
        seeds = [answer.outcome.plan.seed for answer in processes.each(orders(5))]
    assert sorted(seeds) == [0, 1, 2, 3, 4]
    assert_nothing_is_left_of(processes)


def test_the_death_of_a_worker_is_told_and_nobody_waits_for_it(tmp_path: Path):
    extension = tmp_path / "dies.py"
    extension.write_text(DIES)
    with Processes(2, [extension]) as processes:
        answers = processes.each(orders(6))
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"cannot simulate seed \d: its process ended with status 7"):
                next(answers)
            answers = processes.each(orders(6))
    assert_nothing_is_left_of(processes)


def test_who_does_not_take_all_answers_does_not_wait_for_them():
    with Processes(2) as processes:
        assert next(processes.each(orders(20))).outcome.violation is None
    assert_nothing_is_left_of(processes)
