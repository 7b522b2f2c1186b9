"""What the node's egress has to know. The runtime writes it to run/egress.msgpack whenever apps change; the egress looks before each
request whether it has changed, so that it needs nobody to tell it."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from littoral.functions.apps import PlacedApp
from littoral.functions.hub.config_file import ConfigFile, replace_file

FILE = "egress.msgpack"


class EgressApp(msgspec.Struct, frozen=True):
    """One app."""

    name: str
    rules: list[str] = []
    """Its `spec.egress`."""
    only_listed: bool = False


class EgressConfig(msgspec.Struct, frozen=True):
    """All apps of the node."""

    key: bytes = b""
    """By which the credentials of workers are checked; of the egress only."""
    apps: list[EgressApp] = []
    limits: dict[str, int] = {}
    """The node's values over the defaults."""


def egress_config(key: bytes, apps: Iterable[PlacedApp], limits: dict[str, int]) -> EgressConfig:
    """What follows from the apps that are placed."""
    return EgressConfig(key, [_app(app) for app in apps], limits)


def _app(app: PlacedApp) -> EgressApp:
    return EgressApp(app.name, list(app.egress), app.bounds.isolation == "sandbox")


def write_config(run_dir: Path, config: EgressConfig) -> None:
    """The node writes it anew at each start. Raises OSError."""
    replace_file(run_dir / FILE, config)


class EgressConfigFile(ConfigFile[EgressConfig]):
    """The file, read again when it was replaced."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir / FILE, EgressConfig)
