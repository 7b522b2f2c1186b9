"""The hub's side of the Cache API: what apps put there themselves, in memory, each app's apart from all others; and of `ctx.cache`.

The gateways' cache is another one: it holds what clients are given, by the routes. What is here is read and deleted by nobody but
the app that put it, and is gone when the hub restarts: a cache promises no more. Where there is no room, what was used longest
ago goes, of the app that has most. `ctx.cache` is that other one, as far as it holds answers of the app that asks.
"""

import contextlib
import sys
from collections import OrderedDict
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.errors import InvalidInput, TooLarge
from littoral.core.function_limits import CACHE_API_BYTES, CACHE_API_OBJECT_BYTES
from littoral.core.limits import Limits
from littoral.functions.messages import BindingCall
from littoral.wire.caching.fields import table
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.ranges import select
from littoral.wire.caching.storing import Stored, judge
from littoral.wire.caching.validation import not_modified, not_modified_fields

Fields = list[tuple[str, str]]
Answer = tuple[int, Fields, bytes]

POLICY = CachePolicy(
    # What Workers take for responses that do not say how long they are fresh.
    ttl_by_status_s={200: 7200, 301: 7200, 302: 1200, 303: 1200, 403: 60, 404: 180, 410: 180},
    stale_if_error_s=0,
    targeted_fields=(),
    name="Littoral",
)
ENTRY_BYTES = 512
"""About what an entry takes besides what is counted of it."""
NAME_BYTES = 256
"""The longest name of a cache: it is held with each entry."""
STATUSES = range(100, 600)


class PurgeAnswers(Protocol):
    """Purges answers of an app from the caches of gateways (littoral.node.app_purges)."""

    async def __call__(self, app: str, tags: list[str], paths: list[str], *, everything: bool) -> str:
        """Those with one of the tags, those whose paths begin like one of these, or all. Returns once it is on disk and the
        gateways of this node have done it: an empty text, or who has not. Raises LittoralError."""
        ...


class _Entry(Struct):
    stored: Stored
    asked: dict[str, str]
    """The fields of the request that the response varies by."""
    body: bytes
    size: int


class _Partition:
    """Of one app: the one used last is the last."""

    def __init__(self) -> None:
        self.entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self.bytes = 0

    def take(self, key: tuple[str, str]) -> _Entry | None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size
        return entry

    def add(self, key: tuple[str, str], entry: _Entry) -> None:
        self.take(key)
        self.entries[key] = entry
        self.bytes += entry.size


class CacheBindings:
    """Answers the calls of kind "cache": see BindingHandler. A call's namespace is the name of a cache."""

    def __init__(self, clock: Clock, limits: Limits, purge: PurgeAnswers) -> None:
        self._clock = clock
        self._limits = limits
        self._purge = purge
        self._apps: dict[str, _Partition] = {}
        self.bytes = 0
        """That all of them take."""

    async def __call__(self, app: str, call: BindingCall) -> Any:
        """See BindingHandler."""
        name = call.namespace
        if (size := len(name.encode())) > NAME_BYTES:
            raise InvalidInput("open cache", name[:80], f"its name has {size} bytes; at most {NAME_BYTES} may be")
        with contextlib.suppress(msgspec.ValidationError):
            match call.operation, call.arguments:
                case "match", [str(url), list(fields)]:
                    return self._match(app, (name, url), table(_pairs(fields)))
                case "put", [str(url), list(asked), int(status), list(fields), bytes(body)] if status in STATUSES:
                    given = [(name.lower(), value) for name, value in _pairs(fields)]
                    self._put(app, (name, url), table(_pairs(asked)), status, given, body)
                    return None
                case "delete", [str(url)]:
                    return self._take(app, (name, url)) is not None
                case "purge", [list(tags), list(paths), bool(everything)]:
                    told = (msgspec.convert(each, list[str]) for each in (tags, paths))
                    return await self._purge(app, *told, everything=everything)
        raise InvalidInput("call cache", name[:80], f"{call.operation[:40]} does not take these arguments")

    def _match(self, app: str, key: tuple[str, str], asked: dict[str, str]) -> Answer | None:
        partition = self._apps.get(app)
        entry = partition.entries.get(key) if partition is not None else None
        if partition is None or entry is None:
            return None
        now_s = self._clock.wall_ms() / 1000
        stored = entry.stored
        if now_s >= stored.fresh_until_s:
            self._take(app, key)
            return None
        if any(asked.get(name) != entry.asked.get(name) for name in stored.vary):
            return None
        partition.entries.move_to_end(key)
        told = [("age", str(max(0, int(now_s - stored.born_s)))), ("cf-cache-status", "HIT")]
        if not_modified(stored, asked, now_s):
            return 304, [*not_modified_fields(stored), *told], b""
        selected = select(stored, len(entry.body), "GET", asked, now_s)
        assert selected is not None, key
        if selected.content_range:
            told.append(("content-range", selected.content_range))
        return selected.status, [*stored.fields, *told], entry.body[selected.start : selected.end]

    def _put(
        self, app: str, key: tuple[str, str], asked: dict[str, str], status: int, fields: Fields, body: bytes
    ) -> None:
        if len(body) > self._limits[CACHE_API_OBJECT_BYTES]:
            self._limits.hit(CACHE_API_OBJECT_BYTES)
            most = f"at most {self._limits[CACHE_API_OBJECT_BYTES]} are kept, the limit {CACHE_API_OBJECT_BYTES.name}"
            raise TooLarge("put into cache", key[1][:120], f"its body has {len(body)} bytes; {most}")
        now_s = self._clock.wall_ms() / 1000
        stored = judge("GET", asked, status, fields, now_s, now_s, POLICY)
        self._take(app, key)
        if not isinstance(stored, Stored) or now_s >= stored.fresh_until_s:
            # As in Workers: what may not be stored is not, and that is no error.
            return
        varied = {name: asked[name] for name in stored.vary if name in asked}
        words = [*key, *stored.vary]
        for pair in (*stored.fields, *varied.items()):
            words += pair
        size = len(body) + sum(map(_size, words)) + ENTRY_BYTES
        entry = _Entry(stored, varied, body, size)
        self._apps.setdefault(app, _Partition()).add(key, entry)
        self.bytes += size
        self._make_room()

    def _make_room(self) -> None:
        while self.bytes > self._limits[CACHE_API_BYTES]:
            self._limits.hit(CACHE_API_BYTES)
            app = max(self._apps, key=lambda name: self._apps[name].bytes)
            self._take(app, next(iter(self._apps[app].entries)))

    def _take(self, app: str, key: tuple[str, str]) -> _Entry | None:
        partition = self._apps.get(app)
        entry = partition.take(key) if partition is not None else None
        if partition is not None and entry is not None:
            self.bytes -= entry.size
            if not partition.entries:
                del self._apps[app]
        return entry


def _pairs(fields: list[Any]) -> Fields:
    """Raises msgspec.ValidationError."""
    return msgspec.convert(fields, Fields)


def _size(text: str) -> int:
    """What it takes in memory: up to four times its characters, where one of them is not of Latin."""
    return sys.getsizeof(text)
