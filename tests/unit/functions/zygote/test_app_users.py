"""Users of apps: one each, and another's only when nothing of the app runs any more."""

import contextlib
import os
import signal
import subprocess

import pytest

from littoral.functions.zygote import app_users
from littoral.functions.zygote.app_users import AppUsers


def test_workers_of_one_app_are_one_user_and_apps_are_several():
    users = AppUsers(1000, "run")
    first = users.take("a")
    assert users.take("a") == first
    assert users.take("b") != first


def test_a_number_is_anothers_only_when_the_last_worker_is_gone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app_users, "RANGE", 2)
    users = AppUsers(1000, "run")
    first, _ = users.take("a"), users.take("a")
    users.leave("a")
    assert users.take("b") != first
    users.leave("a")
    assert users.take("c") == first


def test_numbers_that_had_no_app_yet_come_first():
    users = AppUsers(1000, "run")
    first = users.take("a")
    users.leave("a")
    assert users.take("b") == first + 1


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a node that runs as root")
def test_what_a_former_zygotes_apps_left_is_ended_and_nobody_else():
    users = AppUsers(3_000_000_000, "a former one")
    number = users.take("a")
    with contextlib.ExitStack() as both:
        left, other = (both.enter_context(subprocess.Popen(["sleep", "9"], user=user)) for user in (number, number - 1))
        users.end_former()
        assert left.wait() == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_nodes_of_one_machine_take_ranges_of_their_own():
    one, other = AppUsers(1000, "one/run").take("a"), AppUsers(1000, "other/run").take("a")
    assert one != other
    assert (one - 1000) % app_users.RANGE == 0


def test_they_come_to_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app_users, "RANGE", 2)
    users = AppUsers(1000, "run")
    users.take("a"), users.take("b")
    with pytest.raises(OverflowError, match="all 2 users"):
        users.take("c")
