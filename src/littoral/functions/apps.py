"""An app as placed on this node."""

from collections.abc import Mapping

from msgspec import Struct

from littoral.core.limits import FUNCTION_MEMORY_BYTES, FUNCTION_WALL_MS, Limits
from littoral.core.resources.model import AppSpec


class PlacedApp(Struct, frozen=True):
    """One revision of an app, with everything decided."""

    name: str
    revision: str
    """Changes whenever code, variables, bindings or limits change: workers are replaced by it."""
    directory: str
    """Absolute path of the unpacked, immutable revision."""
    main: str
    vars: Mapping[str, str] = {}
    kv: Mapping[str, str] = {}
    """Name in `env` to namespace."""
    workers: int = 1
    wall_ms: int = FUNCTION_WALL_MS.default
    memory_bytes: int = FUNCTION_MEMORY_BYTES.default

    @classmethod
    def from_spec(cls, name: str, revision: str, directory: str, spec: AppSpec, limits: Limits) -> "PlacedApp":
        """The app as its document and the node's limits have it."""
        return cls(
            name=name,
            revision=revision,
            directory=directory,
            main=spec.main,
            vars=spec.vars,
            kv={binding.binding: binding.namespace for binding in spec.kv},
            workers=spec.limits.workers,
            wall_ms=spec.limits.wall_time_ms or limits[FUNCTION_WALL_MS],
            memory_bytes=spec.limits.memory_bytes or limits[FUNCTION_MEMORY_BYTES],
        )
