"""Forms in bodies: multipart/form-data (RFC 7578) and application/x-www-form-urlencoded, both ways.

Bytes are taken apart by python-multipart, which Starlette uses too, so that a form means the same to an app of either
kind. What is accepted is bounded: FORM_FIELDS fields, and the fields of one part's head.
"""

import hashlib
from collections.abc import Iterable
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from littoral.core.function_limits import FORM_FIELDS
from littoral.workers.blob import Blob, File
from littoral.workers.form_data import FormData, FormDataValue

MULTIPART, URLENCODED = b"multipart/form-data", b"application/x-www-form-urlencoded"
PART_HEADERS, PART_HEADER_BYTES = 8, 4096


class FormError(TypeError):
    """A body is not the form that it is said to be. A TypeError, as it is in Workers."""


def parse_form(data: bytes, content_type: str | None) -> FormData:
    """The form in a body. Raises FormError."""
    kind, options = parse_options_header(content_type)
    if kind == URLENCODED:
        return _parse_urlencoded(data)
    if kind != MULTIPART:
        raise FormError(
            f"a form's body is {MULTIPART.decode()} or {URLENCODED.decode()}, and this one's content type is {content_type!r}"
        )
    boundary = options.get(b"boundary")
    if not boundary:
        raise FormError(f"the content type {content_type!r} names no boundary")
    return _MultipartForm(boundary).parse(data)


def _parse_urlencoded(data: bytes) -> FormData:
    try:
        fields = parse_qsl(
            data.decode("utf-8", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=FORM_FIELDS.default,
        )
    except ValueError:
        raise _too_many() from None
    form = FormData()
    form._items = list(fields)
    return form


class _MultipartForm:
    """Collects what the parser finds, part by part."""

    def __init__(self, boundary: bytes) -> None:
        self._form = FormData()
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._name,
                "on_header_value": self._value,
                "on_header_end": self._header_end,
                "on_part_data": self._piece,
                "on_part_end": self._end,
                "on_end": self._last,
            },
            max_header_count=PART_HEADERS,
            max_header_size=PART_HEADER_BYTES,
        )

    def parse(self, data: bytes) -> FormData:
        try:
            self._parser.write(data)
            self._parser.finalize()
        except (FormParserError, ValueError) as error:
            raise FormError(f"this body is no multipart/form-data: {error}") from None
        if not self._ended:
            raise FormError("this body is cut off: the boundary that ends multipart/form-data is missing")
        return self._form

    def _begin(self) -> None:
        if len(self._form) >= FORM_FIELDS.default:
            raise _too_many()
        self._headers = {}
        self._data = bytearray()

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _piece(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name")
        if name is None:
            raise FormError("a part of this form has no name: Content-Disposition must be form-data with a name")
        filename = options.get(b"filename")
        if filename is None:
            value: FormDataValue = self._data.decode("utf-8", "replace")
        else:
            kind = self._headers.get(b"content-type", b"text/plain").decode("latin-1")
            value = File(bytes(self._data), _unescaped(filename), kind)
        self._form._items.append((_unescaped(name), value))

    def _last(self) -> None:
        self._ended = True


def encode_form(items: Iterable[tuple[str, FormDataValue]]) -> tuple[bytes, str]:
    """The body of a form, and its content type. The boundary follows from the content, in which it does not occur."""
    parts = [_part(name, value) for name, value in items]
    content = b"".join(parts)
    boundary = hashlib.sha256(content).hexdigest()[:32].encode()
    while boundary in content:
        boundary = hashlib.sha256(boundary).hexdigest()[:32].encode()
    delimiter = b"----littoral" + boundary
    body = b"".join(b"--" + delimiter + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + delimiter + b"--\r\n"
    return body, f"multipart/form-data; boundary={delimiter.decode()}"


def _part(name: str, value: FormDataValue) -> bytes:
    head = f'Content-Disposition: form-data; name="{_escaped(name)}"'
    if not isinstance(value, Blob):
        return head.encode() + b"\r\n\r\n" + value.replace("\r\n", "\n").replace("\n", "\r\n").encode()
    assert isinstance(value, File), "a form holds files, not blobs"
    kind = value.content_type or "application/octet-stream"
    head += f'; filename="{_escaped(value.name)}"\r\nContent-Type: {_escaped(kind)}'
    data, _ = value.as_body()
    return head.encode() + b"\r\n\r\n" + data


def _escaped(name: str) -> str:
    """A name as HTML (section 4.10.21.8) has it within quotes."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _unescaped(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _too_many() -> FormError:
    return FormError(f"this form has more than {FORM_FIELDS.default} fields, which is the limit {FORM_FIELDS.name}")
