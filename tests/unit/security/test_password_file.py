import pytest

from littoral.core.errors import InvalidInput
from littoral.security.password_file import read_password_file
from littoral.security.passwords import hash_password
from littoral.testing.random import SeededRandom

HASH = hash_password("secret", SeededRandom(1))


def test_a_line_is_a_name_and_a_hash():
    data = f"# who may connect\n\npress:{HASH}\nsite:oven:{HASH}\r\n".encode()
    assert read_password_file(data, "/logins") == {"press": HASH, "site:oven": HASH}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"press:{HASH}\npress:{HASH}", r'/logins, line 2: "press" stands there twice'),
        ("press", "/logins, line 1: expected NAME:HASH"),
        (f":{HASH}", "/logins, line 1: expected NAME:HASH"),
        ("x" * 257 + f":{HASH}", "a name of 1 to 256 characters"),
        ("\n\npress:secret", "/logins, line 3: it is not of the form"),
        ("press:$argon2id$v=19$m=999999,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b27Cs", "out of bounds"),
    ],
)
def test_a_file_that_is_wrong_says_where(text, said):
    with pytest.raises(InvalidInput, match=said):
        read_password_file(text.encode(), "/logins")


def test_a_file_that_is_no_text():
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read_password_file(b"\xff", "/logins")
