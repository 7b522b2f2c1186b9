"""What a worker and the node's inference process say to each other over run/srv/inference, as frames.

worker -> inference    its credential, once; then a RunModel for each run
inference -> worker    a Ran with id 0, with an error where it is not admitted; then a Ran for each, in whatever order
"""

from typing import Any

import msgspec
from msgspec import Struct


class Tensor(Struct, array_like=True, frozen=True, gc=False):
    """An array of one type, as it lies in memory (little-endian, the last index runs fastest)."""

    dtype: str
    """As numpy calls it; "": as the model has it."""
    shape: list[int] | None
    """None: as the model has it."""
    data: bytes


class RunModel(Struct, array_like=True, frozen=True):
    """Run a model of the app's."""

    id: int
    model: str
    revision: str
    """Of the app, as it was deployed: each has models of its own."""
    tensors: dict[str, Tensor]
    values: dict[str, Any]
    """The other inputs: numbers, texts, and lists of these."""


class Ran(Struct, array_like=True, frozen=True):
    """What became of it."""

    id: int
    outputs: dict[str, Any] = {}
    error: str = ""
    """A whole sentence; then there are no outputs."""


encode = msgspec.msgpack.Encoder().encode
decode_credential = msgspec.msgpack.Decoder(str).decode
decode_run = msgspec.msgpack.Decoder(RunModel).decode
decode_ran = msgspec.msgpack.Decoder(Ran).decode
