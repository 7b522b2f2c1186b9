"""Which requests of a gateway process notes are taken of, and where its access log is."""

from collections.abc import Callable, Mapping
from pathlib import Path

from littoral.core.clock import Clock
from littoral.core.gateway_limits import ACCESS_LOG_FILE_BYTES, ACCESS_LOG_FILES, ACCESS_LOG_WAITING_BYTES
from littoral.core.limits import Limits
from littoral.core.resources.access_log import AccessLog
from littoral.core.resources.web import RouteSpec
from littoral.drivers.access_log_file import AccessLogFile, LogPlace
from littoral.gateway.access_log import LogRule, dropped_line
from littoral.gateway.gateway import NOBODY
from littoral.gateway.watch import Watch
from littoral.node.gateway_config import GatewayConfig

DIRECTORY = "log"
"""Of access logs, below a node's data directory."""


def log_name(index: int) -> str:
    """The name of a gateway's file."""
    return f"access-{index}.jsonl"


class GatewayWatches:
    """Those of one process. The file is opened with the first line that is written to it; end it with `close`."""

    def __init__(self, directory: Path, index: int, clock: Clock, warn: Callable[[str], None]) -> None:
        """directory: for the log, where the node's document names none. index: which of the node's gateways this is. warn: is
        told, by another thread, that the log cannot be written."""
        self._directory = directory
        self._name = log_name(index)
        self._clock = clock
        self._warn = warn
        self._file: AccessLogFile | None = None

    @property
    def written(self) -> int:
        """Lines."""
        return self._file.written if self._file is not None else 0

    @property
    def dropped(self) -> int:
        """Lines that could not be."""
        return self._file.dropped if self._file is not None else 0

    def configure(self, config: GatewayConfig, limits: Limits) -> Mapping[str, Watch]:
        """The watches for a configuration, by what its routes lead to."""
        file = self._opened(config.access_log, limits) if config.access_log is not None else None
        watches = {}
        for to in {NOBODY, *(route.to for route in config.routes)}:
            spec = config.web.get(to.removeprefix("route/")) if to.startswith("route/") else None
            log = (
                self._rule(config.access_log, spec, file)
                if config.access_log is not None and file is not None
                else None
            )
            shows_timing = spec is not None and spec.server_timing
            if log is not None or shows_timing:
                watches[to] = Watch(log, shows_timing)
        return watches

    def close(self) -> None:
        """Return once all is written."""
        if self._file is not None:
            self._file.close()

    def _opened(self, log: AccessLog, limits: Limits) -> AccessLogFile:
        directory = Path(log.directory) if log.directory is not None else self._directory
        place = LogPlace(
            directory / self._name,
            limits[ACCESS_LOG_FILE_BYTES],
            limits[ACCESS_LOG_FILES],
            limits[ACCESS_LOG_WAITING_BYTES],
        )
        if self._file is None:
            self._file = AccessLogFile(place, self._dropped_line, self._warn)
        else:
            self._file.configure(place)
        return self._file

    def _rule(self, node: AccessLog, spec: RouteSpec | None, file: AccessLogFile) -> LogRule | None:
        route = spec.access_log if spec is not None else None
        percent, fields = node.sample_percent, node.fields
        if route is not None:
            if not route.enabled:
                return None
            percent = route.sample_percent if route.sample_percent is not None else percent
            fields = route.fields if route.fields is not None else fields
        return LogRule(percent / 100, fields, file, self._clock)

    def _dropped_line(self, count: int) -> bytes:
        return dropped_line(count, self._clock.wall_ms())
