"""What the egress is told of apps."""

import os
from pathlib import Path

import msgspec

from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.egress_config import FILE, EgressConfigFile
from littoral.functions.hub.egress_desk import EgressDesk
from littoral.functions.messages import WorkerBounds

KEY = b"k" * 32
SHOP = PlacedApp("shop", "1", "/apps/shop", "main.py", egress=["10.0.0.7"])
SANDBOXED = PlacedApp("other", "1", "/apps/other", "main.py", bounds=WorkerBounds(isolation="sandbox"))


def desk(run: Path) -> EgressDesk:
    return EgressDesk(run, Credentials(KEY), Limits({"subrequests": 7}))


def test_apps_and_limits_are_told_and_of_sandboxes_that_only_what_is_listed_may_be_asked(tmp_path: Path) -> None:
    told = desk(tmp_path)
    told.apply([SHOP, SANDBOXED])
    config = EgressConfigFile(tmp_path).changed()
    assert config is not None
    assert [(app.name, app.rules, app.only_listed) for app in config.apps] == [
        ("shop", ["10.0.0.7"], False),
        ("other", [], True),
    ]
    assert config.limits == {"subrequests": 7}
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_worker_proves_itself_to_the_egress_and_only_there(tmp_path: Path) -> None:
    told = desk(tmp_path)
    told.apply([SHOP])
    config = EgressConfigFile(tmp_path).changed()
    assert config is not None
    given = told.worker("shop", 3).credential
    assert Credentials(config.key).app(given) == "shop"
    assert Credentials(KEY).app(given) is None
    assert Credentials(config.key).app(Credentials(KEY).issue("shop", 3)) is None


def test_the_file_is_read_when_it_was_replaced(tmp_path: Path) -> None:
    file = EgressConfigFile(tmp_path)
    assert file.changed() is None
    told = desk(tmp_path)
    told.apply([SHOP])
    assert file.changed() is not None
    assert file.changed() is None
    told.apply([SHOP])
    assert file.changed() is None
    told.apply([])
    changed = file.changed()
    assert changed is not None
    assert changed.apps == []
    (tmp_path / FILE).write_bytes(msgspec.msgpack.encode([1]))
    assert file.changed() is None


def test_what_the_disk_does_not_take_is_written_later(tmp_path: Path) -> None:
    told = desk(tmp_path / "run")
    told.apply([SHOP])
    os.mkdir(tmp_path / "run")
    assert EgressConfigFile(tmp_path / "run").changed() is None
    told.look()
    assert EgressConfigFile(tmp_path / "run").changed() is not None
