import base64

import pytest

from littoral.core.errors import InvalidInput
from littoral.core.resources import decode_resources
from littoral.security.passwords import check_password_hash, hash_password, verify_password
from littoral.testing.random import SeededRandom

HASH = hash_password("secret", SeededRandom(1))


def test_a_password_fits_its_hash_only() -> None:
    assert HASH.startswith("scrypt$16384$8$1$")
    assert "=" not in HASH
    assert verify_password("secret", HASH)
    assert not verify_password("Secret", HASH)
    assert not verify_password("", HASH)
    assert not verify_password("x" * 2000, HASH)


def test_the_same_password_has_another_hash_each_time() -> None:
    random = SeededRandom(1)
    assert hash_password("a", random) != hash_password("a", random)


def test_the_known_answer_of_rfc_7914() -> None:
    """Section 12, third vector."""
    digest = bytes.fromhex(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    salt, text = (base64.urlsafe_b64encode(data).rstrip(b"=").decode() for data in (b"SodiumChloride", digest))
    assert verify_password("pleaseletmein", f"scrypt$16384$8$1${salt}${text}")


def test_a_configuration_takes_the_hash() -> None:
    text = "apiVersion: littoral/v1\nkind: Node\nmetadata: {name: a}\nspec:\n  tier: site\n"
    text += f"  mqtt: {{users: [{{username: u, passwordHash: {HASH}}}]}}\n"
    assert len(decode_resources(text, "a.yaml")) == 1


@pytest.mark.parametrize("password", ["", "x" * 1025, "é" * 513])
def test_what_is_not_hashed(password: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 1024 bytes"):
        hash_password(password, SeededRandom(1))


SALT, DIGEST = HASH.split("$")[4:]
NOT_HASHES = {
    "empty": "",
    "other scheme": f"bcrypt$16384$8$1${SALT}${DIGEST}",
    "too few parts": f"scrypt$16384$8$1${SALT}",
    "not numbers": f"scrypt$x$8$1${SALT}${DIGEST}",
    "negative": f"scrypt$-2$8$1${SALT}${DIGEST}",
    "too much work": f"scrypt$1048576$8$1${SALT}${DIGEST}",
    "too much memory": f"scrypt$16384$99$1${SALT}${DIGEST}",
    "N is no power of 2": f"scrypt$16383$8$1${SALT}${DIGEST}",
    "huge number": f"scrypt${'9' * 5000}$8$1${SALT}${DIGEST}",
    "short salt": f"scrypt$16384$8$1$AA${DIGEST}",
    "short hash": f"scrypt$16384$8$1${SALT}$AA",
    "not base64": f"scrypt$16384$8$1$!!!!${DIGEST}",
}


@pytest.mark.parametrize("text", NOT_HASHES.values(), ids=NOT_HASHES)
def test_what_is_no_hash(text: str) -> None:
    with pytest.raises(InvalidInput, match="read password hash"):
        check_password_hash(text)
