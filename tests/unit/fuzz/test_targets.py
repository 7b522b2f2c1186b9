"""The fuzzer's targets hold for what hypothesis thinks of, too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

PIECES = [
    b"GET / HTTP/1.1", b"GET http://a.test/b HTTP/1.1\r\n", b"OPTIONS * HTTP/1.0\r\n", b"host: a", b"\r\n", b"\n", b"content-length: 5", b"transfer-encoding: chunked", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b'max-age="1', b"no-cache=", b"private, ", b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"bytes=", b"0-5",
    b"bytes 0-5/10", b'W/"a"', b"*", b"/a/../b", b"%2e%2E", b"%zz", b"?", b"\0", b"\x80", b";q=0.5", b"cookie: a=b; ", b"connection: x", b"upgrade: h2c", b"cache-tag: a,b", b"http://a.test", b"\n\n",
    b"set-cookie: a", b"vary: a", b"etag: \"1\"", b"age: 5", b"cache-control: max-age=9", b"/.well-known/", b"shop 5 -", b":method\tGET", b":path\t/", b"[::1]:80",
    b"{", b"}", b"[", b"]", b":", b",", b'"a"', b"// a", b"/* ", b"*/", b"1e5", b"null", b"[[a]]\n", b"a = ", b"a.b = ", b'"""', b"'''",
]  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_a_target_bears_whatever_comes(name: str, data: bytes) -> None:
    TARGETS[name](data)
