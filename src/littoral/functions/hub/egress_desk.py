"""The hub's side of the egress: what it is told of apps, and what workers are given to reach it."""

from collections.abc import Iterable
from pathlib import Path

from littoral.core.function_limits import SUBREQUEST_WAIT_MS, SUBREQUESTS_AT_ONCE
from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.egress_config import EgressConfig, egress_config, write_config
from littoral.functions.messages import WorkerEgress


class EgressDesk:
    """Keeps run/egress.msgpack."""

    def __init__(self, run_dir: Path, credentials: Credentials, limits: Limits) -> None:
        self._run_dir = run_dir
        self._limits = limits
        self._key = credentials.derived_key("egress")
        self._credentials = Credentials(self._key)
        self._wanted: EgressConfig | None = None
        self._written: EgressConfig | None = None

    def worker(self, app: str, slot: int) -> WorkerEgress:
        """What a worker is given."""
        return WorkerEgress(
            self._credentials.issue(app, slot),
            self._limits[SUBREQUESTS_AT_ONCE],
            self._limits[SUBREQUEST_WAIT_MS],
        )

    def apply(self, apps: Iterable[PlacedApp]) -> None:
        """Have the egress go by these apps. Where the disk does not take it, it goes by what it has, until `look` succeeds."""
        self._wanted = egress_config(self._key, apps, self._limits.overrides)
        self.look()

    def look(self) -> None:
        """Write what is not written yet."""
        if self._wanted is None or self._wanted == self._written:
            return
        try:
            write_config(self._run_dir, self._wanted)
        except OSError:
            return
        self._written = self._wanted
