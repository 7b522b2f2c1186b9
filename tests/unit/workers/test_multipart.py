import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.function_limits import FORM_FIELDS
from littoral.workers import Blob, File, FormData
from littoral.workers.multipart import FormError, encode_form, parse_form

BROWSERS = (
    b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nmoin \xc3\xb6\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a%22b.txt"\r\nContent-Type: text/css\r\n\r\n\x00\r\n\xff\r\n'
    b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n\r\n'
    b"--b--\r\n"
)


def test_what_a_browser_sends() -> None:
    form = parse_form(BROWSERS, "multipart/form-data; boundary=b")
    assert form.get_all("text") == ["moin ö", ""]
    file = form["file"]
    assert isinstance(file, File)
    assert (file.name, file.content_type, asyncio.run(file.bytes())) == ('a"b.txt', "text/css", b"\x00\r\n\xff")


def test_what_a_plain_form_sends() -> None:
    form = parse_form(b"a=1+2&a=%C3%B6&empty=&=x&b", "application/x-www-form-urlencoded;charset=UTF-8")
    assert list(form.items()) == [("a", "1 2"), ("a", "ö"), ("empty", ""), ("", "x"), ("b", "")]


@pytest.mark.parametrize("cut", range(1, len(BROWSERS) - 2))
def test_a_body_that_is_cut_off_is_no_form(cut: int) -> None:
    with pytest.raises(FormError):
        parse_form(BROWSERS[:cut], "multipart/form-data; boundary=b")


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"", None, "content type is None"),
        (b"", "text/plain", "content type is 'text/plain'"),
        (b"", "multipart/form-data", "names no boundary"),
        (b"x", "multipart/form-data; boundary=b", "no multipart/form-data"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", "no name"),
        (b"--b\r\nA: " + b"x" * 5000 + b"\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", "no multipart"),
        (b"--b\r\n" + b"A: b\r\n" * 9 + b"\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", "no multipart"),
    ],
)
def test_what_is_no_form_says_why(body: bytes, content_type: str | None, message: str) -> None:
    with pytest.raises(FormError, match=message):
        parse_form(body, content_type)


def test_the_number_of_fields_is_bounded() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    most = FORM_FIELDS.default
    assert len(parse_form(part * most + b"--b--\r\n", "multipart/form-data; boundary=b")) == most
    assert len(parse_form(b"&".join([b"a=1"] * most), "application/x-www-form-urlencoded")) == most
    with pytest.raises(FormError, match="more than 1000 fields"):
        parse_form(part * (most + 1) + b"--b--\r\n", "multipart/form-data; boundary=b")
    with pytest.raises(FormError, match="more than 1000 fields"):
        parse_form(b"&".join([b"a=1"] * (most + 1)), "application/x-www-form-urlencoded")


@given(
    st.binary(max_size=300), st.sampled_from(["multipart/form-data; boundary=b", "application/x-www-form-urlencoded"])
)
def test_no_bytes_raise_anything_else(body: bytes, content_type: str) -> None:
    for data in (body, b"--b\r\n" + body + b"\r\n--b--\r\n", BROWSERS[:60] + body + BROWSERS[60:]):
        with contextlib.suppress(FormError):
            parse_form(data, content_type)


# What names and text lose on the way (lone CR, percent escapes of quotes) is lost in browsers too.
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0%\\"), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=50)


@given(st.lists(st.tuples(NAMES, TEXTS | st.tuples(NAMES, st.binary(max_size=100))), max_size=5))
def test_a_form_survives_being_sent(fields: list[tuple[str, str | tuple[str, bytes]]]) -> None:
    form = FormData()
    for name, value in fields:
        form.append(name, value if isinstance(value, str) else File(value[1], value[0], "image/png"))
    received = parse_form(*encode_form(form.items()))
    assert [(name, shown(value)) for name, value in received.items()] == [(name, value) for name, value in fields]


def shown(value: str | Blob) -> object:
    return (value.name, value.as_body()[0]) if isinstance(value, File) else value


def test_the_boundary_is_not_in_the_content() -> None:
    body, content_type = encode_form([("a", "x")])
    boundary = content_type.partition("boundary=")[2]
    inner, _ = encode_form([("a", body.decode())])
    assert parse_form(inner, encode_form([("a", body.decode())])[1])["a"] == body.decode()
    assert boundary.encode() in body
