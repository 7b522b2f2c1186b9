"""Calls that carry pieces of blobs, made again where nothing answers: what has come is not sent again."""

import time
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, TypeVar

import msgspec

from littoral.cli.client import ApiClient
from littoral.core.errors import Unavailable
from littoral.node.blob_messages import PATH, Announcement
from littoral.wire.peer import BlobMark

PIECE_BYTES = 4 << 20
"""Of one call: well below the limit api-body-bytes."""
TRIES_MOST = 30
"""In a row without an answer."""
RETRY_S = 1.0
LOOK_AGAIN_S = 0.2
"""How often a node is asked whether a blob that has come is right."""

T = TypeVar("T")


def insist(call: Callable[[], T]) -> T:
    """What `call` returns, as soon as the node answers. Raises what it answers, and at last that it does not."""
    for _ in range(TRIES_MOST - 1):
        try:
            return call()
        except Unavailable:
            pause(RETRY_S)
    try:
        return call()
    except Unavailable as error:
        remedy = f"{error.remedy} Run the same command again: it goes on where it was".strip()
        raise type(error)(error.operation, error.subject, error.cause, remedy) from error


def pause(seconds: float) -> None:
    """Wait; Ctrl-C ends it."""
    time.sleep(seconds)


def send_blob(
    api: ApiClient, source: BinaryIO, announcement: Announcement, moved: Callable[[int], object] = lambda have: None
) -> None:
    """Bring what is announced, from where the node has it on. moved: told how much of it is there."""
    path = f"{PATH}/{announcement.digest}"
    announce = partial(
        api.post, PATH, msgspec.json.encode(announcement), content_type="application/json", kind=BlobMark
    )
    mark = insist(announce)
    while not mark.complete:
        moved(mark.have)
        if mark.have == announcement.size:
            pause(LOOK_AGAIN_S)
            mark = insist(announce)
            continue
        source.seek(mark.have)
        piece = partial(_patch, api, path, mark.have, source.read(PIECE_BYTES))
        mark = insist(piece)
    moved(mark.have)


def _patch(api: ApiClient, path: str, offset: int, data: bytes) -> BlobMark:
    answer = api.call("PATCH", path, data, {"offset": str(offset)})
    return msgspec.json.decode(answer.body, type=BlobMark)
