import base64

import pytest

from littoral.core.errors import InvalidInput
from littoral.core.resources.decode import decode_resources
from littoral.security.passwords import check_password_hash, hash_password, verify_password
from littoral.testing.random import SeededRandom

HASH = hash_password("secret", SeededRandom(1))


def test_a_password_fits_its_hash_only() -> None:
    assert HASH.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
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
    text += f'  mqtt: {{users: [{{username: u, passwordHash: "{HASH}"}}]}}\n'
    assert len(decode_resources(text, "a.yaml")) == 1


@pytest.mark.parametrize("password", ["", "x" * 1025, "é" * 513])
def test_what_is_not_hashed(password: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 1024 bytes"):
        hash_password(password, SeededRandom(1))


SALT, DIGEST = HASH.split("$")[4:]
A = "$argon2id$v=19$"
NOT_HASHES = {
    "Argon2i": f"$argon2i$v=19$m=19456,t=2,p=1${SALT}${DIGEST}",
    "another version": f"$argon2id$v=16$m=19456,t=2,p=1${SALT}${DIGEST}",
    "Argon2 without salt": f"{A}m=19456,t=2,p=1${DIGEST}",
    "Argon2 of too much memory": f"{A}m=262145,t=2,p=1${SALT}${DIGEST}",
    "Argon2 of too little memory": f"{A}m=15,t=2,p=2${SALT}${DIGEST}",
    "Argon2 of too many passes": f"{A}m=19456,t=17,p=1${SALT}${DIGEST}",
    "Argon2 of no pass": f"{A}m=19456,t=0,p=1${SALT}${DIGEST}",
    "Argon2 of too many lanes": f"{A}m=19456,t=2,p=9${SALT}${DIGEST}",
    "Argon2 of a short salt": f"{A}m=19456,t=2,p=1$AAAA${DIGEST}",
    "Argon2 of a short hash": f"{A}m=19456,t=2,p=1${SALT}$AAAA",
    "Argon2 and not base64": f"{A}m=19456,t=2,p=1$AAAAA${DIGEST}",
    "more behind it": f"{HASH}$",
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
