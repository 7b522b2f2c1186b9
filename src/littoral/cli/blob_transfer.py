"""Calls that carry pieces of blobs, made again where nothing answers: what has come is not sent again."""

import time
from collections.abc import Callable
from typing import TypeVar

from littoral.core.errors import Unavailable

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
