"""The fuzzer's targets hold for what hypothesis thinks of, too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

PIECES = [
    b"GET / HTTP/1.1", b"host: a", b"\r\n", b"\n", b"content-length: 5", b"transfer-encoding: chunked", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b'max-age="1', b"no-cache=", b"private, ", b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"bytes=", b"0-5",
    b"bytes 0-5/10", b'W/"a"', b"*", b"/a/../b", b"%2e%2E", b"%zz", b"?", b"\0", b"\x80", b";q=0.5", b":method\tGET", b":path\t/", b"[::1]:80",
]  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_a_target_bears_whatever_comes(name: str, data: bytes) -> None:
    TARGETS[name](data)
