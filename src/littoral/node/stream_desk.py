"""The operator API's part for looking at streams: a page of their list, and the end of one.

GET /v1/stream-list?text&lane&kind&type&named&after&order&descending&skip&limit&plain
GET /v1/stream-view/ORIGIN/PATH?before|after&limit

text: only names that contain it. lane, kind, type (the media type), named (the path): only streams of that; lane takes
several, between commas. after: only names after it, for who asks page by page. plain: without ages and rates, so that
nothing is read of the streams. Both answers are bounded, however many streams there are and however long they are: what
is asked of each stream is asked only of those on the page. To read a stream's data there is the Durable Streams protocol.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, get_args

import msgspec

from littoral.core.errors import Gone, InvalidInput, LittoralError, NotFound
from littoral.core.http import Request, Response
from littoral.core.lanes import LANES
from littoral.core.limits import LISTED_STREAMS, READ_BYTES, VIEWED_RECORDS, Limits
from littoral.core.names import StreamName, parse_stream_name
from littoral.node.stream_messages import LIST, VIEW, RecordView, StreamPage, StreamRow, StreamView
from littoral.store.batch import Batch
from littoral.store.replica import FORMER_STREAMS
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.streams.reclaim import QUARANTINE
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.durable_streams import media_type
from littoral.wire.query import whole_number

RATE_MS = 60_000
RATE_BATCHES = 200
"""Looked at of each stream for its rate: of one that gets more in a minute, the rate is of the last of them."""
RECORD_HEAD_BYTES = 16 * 1024
"""Of each record of a view: enough for a person, who can read the rest as a stream."""
SCANNED_AT_ONCE = 1000
"""Streams that are compared with a filter before others have their turn: a millisecond or two."""
TEXT_MOST = 200

Key = Callable[[StreamInfo], float | str]
"""What streams are sorted by."""
Kind = Literal["", "own", "copies", "open", "closed", "forks", "aside"]
"""aside: what was put aside, in `quarantine/` and `former/`."""
Order = Literal["name", "lane", "records", "bytes", "share", "first", "next", "created"]


class Filter(msgspec.Struct, frozen=True):
    """Which streams are meant; what is empty is not asked for."""

    text: str = ""
    lanes: frozenset[str] = frozenset()
    kind: Kind = ""
    media_type: str = ""
    path: str = ""
    after: str = ""
    """Only names that come after this one."""

    def takes(self, info: StreamInfo) -> bool:
        """Whether the stream is one of them."""
        return (
            (not self.lanes or info.lane in self.lanes)
            and (not self.path or info.name.path == self.path)
            and (not self.after or str(info.name) > self.after)
            and (not self.kind or _is(info, self.kind))
            and (not self.media_type or media_type(info.content_type) == self.media_type)
            and (not self.text or self.text in str(info.name))
        )


class StreamDesk:
    """Answers for requests whose path is LIST or begins with VIEW, once the operator is known."""

    def __init__(self, store: Store, limits: Limits, wall_ms: Callable[[], int]) -> None:
        self._store = store
        self._limits = limits
        self._wall_ms = wall_ms

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises LittoralError."""
        if request.method != "GET":
            raise method_not_allowed(request)
        if request.path == LIST:
            return json_answer(await self._page(request.query))
        return json_answer(self._view(parse_stream_name(request.path.removeprefix(VIEW)), request.query))

    async def _page(self, query: Mapping[str, str]) -> StreamPage:
        order = _word(query, "order", get_args(Order)) or "name"
        skip = _number(query, "skip") or 0
        limit = min(_number(query, "limit") or self._limits[LISTED_STREAMS], self._limits[LISTED_STREAMS])
        everything = self._store.heads()
        found = await self._found(everything, _filter(query), self._share if order == "share" else _KEYS[order])
        if query.get("descending"):
            found.reverse()
        rows = self._rows(found[skip : skip + limit], everything, is_plain=bool(query.get("plain")))
        return StreamPage(rows, len(found), len(everything), sum(info.bytes for info in found), self._wall_ms())

    async def _found(self, everything: Sequence[StreamInfo], wanted: Filter, key: Key) -> list[StreamInfo]:
        """The streams that are wanted, in the order of `key` and then of their names."""
        keyed: list[tuple[float | str, StreamName, StreamInfo]] = []
        for start in range(0, len(everything), SCANNED_AT_ONCE):
            part = everything[start : start + SCANNED_AT_ONCE]
            keyed += sorted((key(info), info.name, info) for info in part if wanted.takes(info))
            await asyncio.sleep(0)  # Others have their turn.
        keyed.sort()  # It consists of sorted runs, which costs little.
        await asyncio.sleep(0)
        return [info for _, _, info in keyed]

    def _view(self, name: StreamName, query: Mapping[str, str]) -> StreamView:
        info = self._store.stream(name)
        if info is None:
            raise NotFound("view stream", str(name), "there is no such stream on this node", "It may have been deleted")
        before = _number(query, "before")
        before = info.next if before is None else min(before, info.next)
        after = _number(query, "after") or 0
        limit = min(_number(query, "limit") or self._limits[VIEWED_RECORDS], self._limits[VIEWED_RECORDS])
        first = max(info.first, after, before - limit)
        batches = self._before(name, before, first) if before > first else []
        row = self._rows([info], self._store.heads())[0]
        return StreamView(row, list(_records(batches, first, before)), self._wall_ms())

    def _before(self, name: StreamName, before: int, first: int) -> list[Batch]:
        """Batches with records in [first, before): the last of them, or as far as they were spilled the first."""
        latest = self._store.latest(name, before, self._limits[READ_BYTES], before - first)
        return latest[::-1] if latest else self._store.read(name, first, self._limits[READ_BYTES])

    def _rows(
        self, infos: list[StreamInfo], everything: list[StreamInfo], *, is_plain: bool = False
    ) -> list[StreamRow]:
        sources = Counter(info.fork.source for info in everything if info.fork is not None)
        wanted = {info.fork.source for info in infos if info.fork is not None}
        names = {info.id: str(info.name) for info in everything if info.id in wanted} if wanted else {}
        return [self._row(info, names, sources[info.id], is_plain=is_plain) for info in infos]

    def _row(self, info: StreamInfo, names: Mapping[int, str], forks: int, *, is_plain: bool) -> StreamRow:
        oldest_ms, spilled_to, records_s, bytes_s, problem = None, 0, 0.0, 0.0, ""
        budget = self._store.bounds.budgets.of(info)
        try:
            if not is_plain:
                spilled_to = self._store.spilled.end(info)
                oldest_ms = self._oldest_ms(info)
                records_s, bytes_s = self._rate(info)
        except LittoralError as error:
            problem = str(error)
        return StreamRow(
            name=str(info.name),
            lane=info.lane,
            content_type=info.content_type,
            first=info.first,
            next=info.next,
            bytes=info.bytes,
            budget_bytes=budget.bytes,
            policy=budget.policy,
            spilled_to=spilled_to,
            retention_ms=budget.age_ms,
            closed=info.closed,
            reach=info.reach,
            via=info.via,
            created_ms=info.created_ms,
            ttl_s=info.ttl_s,
            expires_at=info.expires_at,
            forked_from=names.get(info.fork.source, "?") if info.fork is not None else None,
            forks=forks,
            oldest_ms=oldest_ms,
            records_s=records_s,
            bytes_s=bytes_s,
            problem=problem,
        )

    def _share(self, info: StreamInfo) -> float:
        """Of its budget, what it holds."""
        return info.bytes / max(1, self._store.bounds.budgets.of(info).bytes)

    def _oldest_ms(self, info: StreamInfo) -> int | None:
        try:
            batches = self._store.read(info.name, info.first, 1) if info.count else []
        except Gone:
            return None  # retention is on disk, and about to be published
        return batches[0].appended_ms if batches else None

    def _rate(self, info: StreamInfo) -> tuple[float, float]:
        """Records and bytes per second."""
        now_ms = self._wall_ms()
        recent = self._store.recent(info, now_ms - RATE_MS, RATE_BATCHES)
        over_s = max(1.0, (now_ms - recent.since_ms) / 1000)
        return recent.records / over_s, recent.bytes / over_s


def _records(batches: Sequence[Batch], first: int, before: int) -> Iterator[RecordView]:
    for batch in batches:
        for offset, record in enumerate(batch.records(), batch.first):
            if first <= offset < before:
                yield RecordView(offset, batch.appended_ms, len(record), record[:RECORD_HEAD_BYTES])


def _is(info: StreamInfo, kind: Kind) -> bool:
    match kind:
        case "own":
            return not info.via
        case "copies":
            return bool(info.via)
        case "open":
            return not info.closed
        case "closed":
            return info.closed
        case "forks":
            return info.fork is not None
        case "aside":
            return info.name.path.startswith((QUARANTINE, FORMER_STREAMS))
    return True


_KEYS: Mapping[str, Key] = {
    "name": lambda info: str(info.name),
    "lane": lambda info: LANES.index(info.lane),
    "records": lambda info: info.count,
    "bytes": lambda info: info.bytes,
    "first": lambda info: info.first,
    "next": lambda info: info.next,
    "created": lambda info: info.created_ms,
}


def _filter(query: Mapping[str, str]) -> Filter:
    text = query.get("text", "")
    if len(text) > TEXT_MOST:
        raise InvalidInput("list", "streams", f"the text to look for is longer than {TEXT_MOST} characters")
    lanes = frozenset(query["lane"].split(",")) if query.get("lane") else frozenset()
    if unknown := lanes.difference(LANES):
        raise InvalidInput(
            "list", "streams", f"there is no lane {min(unknown)[:40]!r}", f"Lanes are {', '.join(LANES)}"
        )
    kind = _word(query, "kind", get_args(Kind))
    return Filter(
        text,
        lanes,
        msgspec.convert(kind, Kind),
        query.get("type", "")[:TEXT_MOST],
        query.get("named", ""),
        query.get("after", ""),
    )


def _word(query: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    word = query.get(name, "")
    if word and word not in words:
        raise InvalidInput(
            "list", "streams", f"{name} {word[:40]!r} is not known", f"Use one of {', '.join(filter(None, words))}"
        )
    return word


def _number(query: Mapping[str, str], key: str) -> int | None:
    return whole_number(query, key, "look at", "streams", None)
