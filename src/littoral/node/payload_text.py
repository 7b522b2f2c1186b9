"""The payload of a message for people."""

from codecs import getincrementaldecoder

_decoder = getincrementaldecoder("utf-8")


def payload_text(payload: bytes, *, is_whole: bool) -> str:
    """Text where it is UTF-8, or else hexadecimal digits. is_whole: whether it is not cut off, which may be within a character."""
    try:
        return _decoder().decode(payload, final=is_whole)
    except UnicodeDecodeError:
        return payload.hex()
