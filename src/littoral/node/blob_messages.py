"""What operators and a node say to each other of blobs (`blob_api`)."""

from typing import Literal

import msgspec

from littoral.wire.peer import BlobSize

PATH = "/v1/blobs"


class Announcement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/blobs."""

    digest: str
    size: BlobSize
    send: Literal["", "up"] = ""


class BlobEntry(msgspec.Struct, frozen=True):
    """One line of GET /v1/blobs."""

    digest: str
    size: int
    have: int
    """Bytes that are here."""
    state: Literal["coming", "here", "sending", "above", "refused"]
    """here: nowhere else, as far as this node knows. above: the parent has it too."""
    created_ms: int
    used_ms: int
    refused: str
    """Why the parent does not take it."""


class BlobPage(msgspec.Struct, frozen=True):
    """Answer of GET /v1/blobs."""

    blobs: list[BlobEntry]
    cursor: str | None
    """Give it to the next call; None at the end."""
