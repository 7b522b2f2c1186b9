"""Tokens of ours and of another implementation of JWS are the same thing, and nothing else is one."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from littoral.security.es256 import NoToken, is_signed_by, sign, take_apart

KEY = ec.derive_private_key(12345, ec.SECP256R1())
OTHER = ec.derive_private_key(54321, ec.SECP256R1())
THEIRS = ECKey.import_key(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@given(st.binary(max_size=300))
def test_another_implementation_accepts_ours_and_we_its(payload: bytes):
    ours = sign(KEY, payload)
    assert jws.deserialize_compact(ours, THEIRS, algorithms=["ES256"]).payload == payload
    assert sign(KEY, payload) == ours, "chance has no part in it"
    for header in ({"alg": "ES256"}, {"alg": "ES256", "typ": "JWT"}):
        token = take_apart(jws.serialize_compact(header, payload, THEIRS, algorithms=["ES256"]))
        assert token.payload == payload
        assert is_signed_by(KEY.public_key(), token)
        assert not is_signed_by(OTHER.public_key(), token)


def part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "header",
    [
        '{"alg":"none"}',
        '{"alg":"HS256"}',
        '{"alg":"ES384"}',
        '{"alg":"es256"}',
        "{}",
        '{"alg":"ES256","crit":["b64"],"b64":false}',
        '{"alg":"ES256","jwk":{}}',
        '["ES256"]',
        "not json",
    ],
)
def test_a_header_that_asks_for_anything_else_is_refused(header: str):
    _, payload, signature = sign(KEY, b"{}").split(".")
    with pytest.raises(NoToken):
        take_apart(f"{part(header)}.{payload}.{signature}")


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("damage", ["=", " ", "\n", "+", "/", "\u00e9", "."])
def test_there_is_one_way_to_write_a_token(place: int, damage: str):
    parts = sign(KEY, b'{"a":1}').split(".")
    parts[place] += damage
    with pytest.raises(NoToken):
        take_apart(".".join(parts))


def test_bits_that_say_nothing_are_refused():
    header, payload, signature = sign(KEY, b"ab").split(".")
    assert payload == "YWI"
    with pytest.raises(NoToken, match="not in the one form"):
        take_apart(f"{header}.YWJ.{signature}")


def test_every_bit_counts():
    token = take_apart(sign(KEY, b'{"a":1}'))
    for length in (0, 63, 65):
        assert not is_signed_by(KEY.public_key(), token._replace(signature=(token.signature + b"x")[:length]))
    for place in range(64):
        changed = bytearray(token.signature)
        changed[place] ^= 1
        assert not is_signed_by(KEY.public_key(), token._replace(signature=bytes(changed)))
    assert not is_signed_by(KEY.public_key(), token._replace(signature=bytes(64)))
    assert not is_signed_by(KEY.public_key(), token._replace(signed=token.signed + b"x"))
