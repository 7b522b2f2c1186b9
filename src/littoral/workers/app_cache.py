"""`ctx.cache`: what caches before an app hold of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from littoral.workers.caches import DEFAULT, cache_caller

_KINDS = ("tags", "pathPrefixes", "purgeEverything")


@dataclass(frozen=True)
class PurgeError:
    """Why a purge is not done everywhere yet."""

    code: int
    message: str


@dataclass(frozen=True)
class PurgeResult:
    """What came of a purge."""

    success: bool
    errors: list[PurgeError]


class AppCache:
    """Answers of this app, of which routes with a cache lead to it; nobody else's."""

    __slots__ = ()

    async def purge(self, options: Mapping[str, Any] | None = None, **named: Any) -> PurgeResult:
        """Forget answers: those with one of `tags` (their Cache-Tag), those whose URLs have paths that begin like one of
        `pathPrefixes`, or all (`purgeEverything`). Options as a mapping or by name.

        Returns when the gateways of this node have done it; nodes below follow as they are reached. `success` is False while a
        gateway of this node has not. Raises TypeError for options that say nothing, CacheError where it is refused.
        """
        given = {**(options or {}), **named}
        if unknown := sorted(given.keys() - set(_KINDS)):
            raise TypeError(f"cache.purge takes {', '.join(_KINDS)}; it was given {', '.join(map(str, unknown))}")
        tags, paths = (_texts(name, given.get(name)) for name in _KINDS[:2])
        everything = given.get("purgeEverything") is True
        if not (tags or paths or everything):
            raise TypeError(f"cache.purge was not told what to forget: give it {' or '.join(_KINDS)}")
        told = str(await cache_caller()("purge", DEFAULT, [tags, paths, everything]))
        return PurgeResult(not told, [PurgeError(0, told)] if told else [])


def _texts(name: str, value: Any) -> list[str]:
    texts = [] if value is None else list(value)
    if isinstance(value, str) or not all(isinstance(each, str) for each in texts):
        raise TypeError(f"cache.purge takes {name} as a list of texts")
    return texts


APP_CACHE = AppCache()
