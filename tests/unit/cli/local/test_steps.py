"""Steps as lines, where there is no terminal."""

import io

import pytest
from rich.console import Console

from littoral.cli.local.steps import Steps


class Stopwatch:
    """A clock on which each look takes two seconds."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        self.now_s += 2.0
        return self.now_s

    def wall_ms(self) -> int:
        raise NotImplementedError


def shown(*, tell):
    written = io.StringIO()
    out = Console(file=written, width=80, force_terminal=False)
    with Steps(out, Stopwatch(), tell=tell) as steps:
        with steps.step("cut the WAN", "It goes silent.") as step:
            step.doing("waiting for windows")
            step.advance(0.5)
            step.note("3 windows")
        with pytest.raises(ValueError, match="no"), steps.step("restore it", "It returns."):
            raise ValueError("no")
    return written.getvalue().splitlines()


def test_a_step_is_told_once_it_is_done_with_its_time_and_what_it_found():
    assert shown(tell=False) == ["✓ cut the WAN  2.0 s", "    3 windows", "✗ restore it  2.0 s"]


def test_told_at_length_each_step_is_explained_before_it_begins():
    lines = [line.rstrip() for line in shown(tell=True)]
    assert lines[:3] == ["cut the WAN", "  It goes silent.", "✓ cut the WAN  2.0 s"]
