"""JSON mode of the Durable Streams protocol: one body is many messages, many messages are one array.

Messages keep the bytes they were sent with: nothing is decoded and encoded again, so numbers keep their precision
and objects their order.
"""

from collections.abc import Sequence

import msgspec

from littoral.core.errors import InvalidInput
from littoral.core.undecodable import UNDECODABLE

_value = msgspec.json.Decoder(msgspec.Raw)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_WHITESPACE = b" \t\r\n"


def split_messages(body: bytes) -> list[bytes]:
    """The messages of a body: the elements of an array (one level), or the one value it is.

    An empty array has none. Raises InvalidInput for what is not JSON (RFC 8259).
    """
    try:
        body.decode()  # msgspec does not look inside the strings of a raw value.
        text = body.strip(_WHITESPACE)
        if text.startswith(b"["):
            return [bytes(message).strip(_WHITESPACE) for message in _array.decode(text)]
        return [bytes(_value.decode(text)).strip(_WHITESPACE)]
    except RecursionError as error:
        raise InvalidInput("append to stream", "the body", "its arrays and objects are nested too deeply") from error
    except UNDECODABLE as error:
        raise InvalidInput("append to stream", "the body", f"it is not JSON: {error}") from error


def join_messages(messages: Sequence[bytes]) -> bytes:
    """The array of `messages`."""
    return b"[" + b",".join(messages) + b"]"
