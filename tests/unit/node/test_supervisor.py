"""When a node's processes are started again."""

import signal
import sys
from pathlib import Path

import pytest

from littoral.core.errors import StartupError, StorageError
from littoral.core.resources import Node
from littoral.core.resources.model import Listen, NodeSpec
from littoral.core.resources.part import Metadata
from littoral.node.child import FIRST_DELAY_S, NEVER_S, Child
from littoral.node.layout import EXIT_STARTUP
from littoral.node.lock import locked
from littoral.node.supervisor import OTHER_FILES, WELL_S, Supervisor
from tests.support.fakes import FakeClock


def supervisor(data_dir: Path, said: list[str], **limits: int) -> Supervisor:
    spec = NodeSpec(
        tier="site",
        listen=Listen(api="127.0.0.1:0"),
        limits={key.replace("_", "-"): value for key, value in limits.items()},
    )
    config = Node(api_version="littoral/v1", metadata=Metadata(name="plant-a"), spec=spec)
    return Supervisor(config, data_dir, None, said.append)


def test_a_process_that_keeps_ending_is_started_ever_later_up_to_the_cap(tmp_path: Path):
    said: list[str] = []
    subject = supervisor(tmp_path, said, restart_delay_ms=1000)
    clock = subject._clock = FakeClock()  # type: ignore[assignment]
    child = Child("gateway-0", [sys.executable])
    delays = []
    for _ in range(8):
        child.started_s = clock.monotonic_s()
        subject._ended(child, 1)
        delays.append(round(child.due_s - clock.monotonic_s(), 3))
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert said[0] == "gateway-0 ended with status 1; starting it again in 0.05 s"


def test_one_that_ran_for_a_while_is_started_at_once(tmp_path: Path):
    said: list[str] = []
    subject = supervisor(tmp_path, said)
    clock = subject._clock = FakeClock()  # type: ignore[assignment]
    child = Child("hub", [sys.executable], delay_s=4.0, started_s=clock.monotonic_s())
    clock.advance(seconds=WELL_S)
    subject._ended(child, -9)
    assert child.due_s - clock.monotonic_s() == pytest.approx(FIRST_DELAY_S)
    assert said == ["hub was killed by signal 9; starting it again in 0.05 s"]
    assert subject._hub_was_well


def test_one_that_runs_on_demand_comes_when_it_is_wanted_and_not_again_when_nobody_wants_it(tmp_path: Path):
    said: list[str] = []
    subject = supervisor(tmp_path, said)
    clock = subject._clock = FakeClock()  # type: ignore[assignment]
    child = Child("inference", [sys.executable], due_s=NEVER_S, is_on_demand=True)
    subject._children += [child, Child("hub", [sys.executable], due_s=NEVER_S)]
    subject._do(signal.SIGCHLD)
    assert child.due_s == NEVER_S
    subject._do(signal.SIGUSR1)
    assert [each.due_s for each in subject._children] == [clock.monotonic_s(), NEVER_S]
    subject._ended(child, 0)
    assert (child.due_s, said) == (NEVER_S, [])
    subject._ended(child, 70)
    due_s = child.due_s
    subject._do(signal.SIGUSR1)
    assert child.due_s == due_s == clock.monotonic_s() + FIRST_DELAY_S


def test_a_process_that_cannot_be_made_now_is_made_later(tmp_path: Path):
    said: list[str] = []
    subject = supervisor(tmp_path, said)
    child = Child("gateway-0", [str(tmp_path / "missing")])
    subject._children.append(child)
    subject._start(child)
    assert child.process is None
    assert child.due_s > 0
    assert "cannot be started" in said[0]
    assert "starting it again in 0.05 s" in said[0]


def test_a_hub_that_was_well_once_does_not_end_the_node(tmp_path: Path):
    subject = supervisor(tmp_path, [])
    clock = subject._clock = FakeClock()  # type: ignore[assignment]
    child = Child("hub", [sys.executable], started_s=clock.monotonic_s())
    assert subject._is_hopeless(child, EXIT_STARTUP)
    assert not subject._is_hopeless(child, 1)
    clock.advance(seconds=WELL_S)
    assert not subject._is_hopeless(child, EXIT_STARTUP)
    subject._ended(child, EXIT_STARTUP)
    child.started_s = clock.monotonic_s()
    assert not subject._is_hopeless(child, EXIT_STARTUP)


def test_two_nodes_do_not_share_a_data_directory(tmp_path: Path):
    with (
        locked(tmp_path, "start node", "plant-a"),
        pytest.raises(StartupError, match="is in use by process [0-9]+. Stop that process"),
    ):
        supervisor(tmp_path, []).run()
    with locked(tmp_path, "start node", "plant-a"):
        pass


def test_a_data_directory_that_is_a_file(tmp_path: Path):
    path = tmp_path / "data"
    path.write_text("")
    with pytest.raises(StorageError, match="a file of that name is in the way"):
        supervisor(path, []).run()


def test_what_is_in_the_way_of_its_files_is_named(tmp_path: Path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(StorageError, match=r"cannot open .*/lock: Is a directory"):
        supervisor(tmp_path, []).run()


def test_a_system_that_allows_fewer_connections_than_the_limits_do_is_named_with_what_to_do(tmp_path: Path):
    said: list[str] = []
    spec = NodeSpec(
        tier="cloud",
        listen=Listen(api="127.0.0.1:0", peer="127.0.0.1:0", mqtt="127.0.0.1:0"),
        limits={"children": 500, "mqtt-connections": 1000},
    )
    config = Node(api_version="littoral/v1", metadata=Metadata(name="eu"), spec=spec)
    subject = Supervisor(config, tmp_path, None, said.append)
    subject._check_open_files(500 + 1000 + OTHER_FILES)
    assert said == []
    subject._check_open_files(2000)
    assert len(said) == 1
    for part in ("2000 files", "500 children", "1000 MQTT clients", "LimitNOFILE", "limits children and mqtt-connect"):
        assert part in said[0]


def test_a_node_without_listeners_for_them_needs_no_connections_for_them(tmp_path: Path):
    said: list[str] = []
    supervisor(tmp_path, said)._check_open_files(OTHER_FILES)
    assert said == []
