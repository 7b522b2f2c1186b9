"""Reading and writing streams over the Durable Streams protocol, as a client."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from littoral.cli.client import ApiClient, header
from littoral.core.errors import LittoralError, Unavailable
from littoral.core.http import Response
from littoral.core.names import parse_stream_name
from littoral.node.stream_messages import LIST, StreamEntries, StreamEntry
from littoral.wire.durable_streams import (
    DEFAULT_CONTENT_TYPE,
    STREAM_CLOSED,
    STREAM_NEXT_OFFSET,
    STREAM_UP_TO_DATE,
    format_offset,
    is_true,
    parse_offset,
)

RETRY_S = 1.0
"""Pause before a follower asks a node again that did not answer."""


class Slice(NamedTuple):
    """What one read returned."""

    content_type: str
    body: bytes
    first: int
    next: int


def listed(api: ApiClient, **wanted: str) -> Iterator[StreamEntry]:
    """The streams of a node, by name; wanted: of the query of LIST."""
    after: str | None = ""
    while after is not None:
        page = api.get(LIST, StreamEntries, {"plain": "1", "after": after, **wanted})
        yield from page.streams
        after = page.next_page


class Tail(NamedTuple):
    """Where a stream ends."""

    content_type: str
    next: int


def stream_path(name: str) -> str:
    """The path of a stream. Raises InvalidInput for what is no name of one."""
    return f"/v1/streams/{parse_stream_name(name)}"


def tail_of(api: ApiClient, name: str) -> Tail:
    """Where the stream ends now. Raises NotFound."""
    answer = api.call("GET", stream_path(name), query={"offset": "now"})
    return Tail(_content_type(answer), next_offset(answer))


def slices(api: ApiClient, name: str, offset: int) -> Iterator[Slice]:
    """What is in the stream from `offset` on, piece by piece. Raises Gone for an offset that retention took."""
    while True:
        answer = api.call("GET", stream_path(name), query={"offset": format_offset(offset)})
        following = next_offset(answer)
        if following > offset:
            yield Slice(_content_type(answer), answer.body, offset, following)
        if header(answer, STREAM_UP_TO_DATE) is not None:
            return
        offset = following


def follow(api: ApiClient, name: str, offset: int, on_retry: Callable[[LittoralError], None]) -> Iterator[Slice]:
    """As `slices`, and then what is appended, until the stream is closed.

    on_retry: told, once for each interruption, that the node does not answer; it is asked again and again.
    """
    path = stream_path(name)
    interrupted = False
    while True:
        try:
            answer = api.call("GET", path, query={"offset": format_offset(offset), "live": "long-poll"})
        except Unavailable as error:
            if not interrupted:
                on_retry(error)
            interrupted = True
            time.sleep(RETRY_S)
            continue
        interrupted = False
        following = next_offset(answer)
        if following > offset:
            yield Slice(_content_type(answer), answer.body, offset, following)
        if is_true(header(answer, STREAM_CLOSED)):
            return
        offset = following


def next_offset(answer: Response) -> int:
    """Where to read on after an answer, or the tail after an append."""
    value = header(answer, STREAM_NEXT_OFFSET)
    offset = None if value is None else parse_offset(value)
    if offset is None:
        raise Unavailable("read stream", "", f"the answer lacks {STREAM_NEXT_OFFSET}", "Check that the URL is a node's")
    return offset


def _content_type(answer: Response) -> str:
    return header(answer, "content-type") or DEFAULT_CONTENT_TYPE
