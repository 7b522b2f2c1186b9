"""`js.TextEncoder` and its like: text to bytes and back."""

import base64
import uuid
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from littoral.workers.js.values import Uint8Array
from littoral.workers.missing import NotSupported

_UNRESERVED = "!'()*-._~"


class TextEncoder:
    """Text to UTF-8."""

    encoding = "utf-8"

    @classmethod
    def new(cls) -> "TextEncoder":
        """As JavaScript's constructor."""
        return cls()

    def encode(self, text: str = "") -> Uint8Array:
        """The text's bytes."""
        return Uint8Array(text.encode())


class TextDecoder:
    """Bytes to text."""

    def __init__(self, encoding: str = "utf-8", *, fatal: bool = False) -> None:
        self.encoding = encoding
        self._errors = "strict" if fatal else "replace"

    @classmethod
    def new(cls, encoding: str = "utf-8", options: Any = None, *, fatal: bool = False) -> "TextDecoder":
        """As JavaScript's constructor."""
        return cls(encoding, fatal=bool((options or {}).get("fatal", fatal)))

    def decode(self, data: bytes = b"", options: object = None) -> str:
        """The bytes' text. Raises UnicodeDecodeError where `fatal` was asked for."""
        return bytes(data).decode(self.encoding, self._errors)


class Crypto:
    """`js.crypto`, as far as Python has nothing nearer at hand."""

    @staticmethod
    def randomUUID() -> str:
        """A random UUID."""
        return str(uuid.uuid4())  # noqa: TID251 - what a function asks for is chance

    @property
    def subtle(self) -> NoReturn:
        """Raises NotSupported."""
        raise NotSupported("crypto.subtle", "Use hashlib, hmac and secrets of Python")


def btoa(text: str) -> str:
    """Base64 of characters up to U+00FF."""
    return base64.b64encode(text.encode("latin-1")).decode()


def atob(text: str) -> str:
    """The characters of Base64."""
    return base64.b64decode(text).decode("latin-1")


def encode_uri_component(text: object) -> str:
    """Text as a part of a URL."""
    return quote(str(text), safe=_UNRESERVED)


def decode_uri_component(text: str) -> str:
    """The text of a part of a URL."""
    return unquote(text, errors="strict")
