import json
import warnings

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from littoral.core.errors import InvalidInput, Unauthenticated
from littoral.core.resources.mqtt import MqttTokens
from littoral.security.login_tokens import LEEWAY_S, LoginTokens
from tests.support.fakes import FakeClock

NOW_S = 1_800_000_000
EC = ECKey.generate_key("P-256", {"kid": "one"})
ED = OKPKey.generate_key("Ed25519")
OTHER = ECKey.generate_key("P-256", {"kid": "two"})
SECRET = OctKey.import_key(b"s" * 32, {"kid": "shared"})
ALGORITHMS = ["ES256", "RS256", "EdDSA", "Ed25519", "HS256"]


def tokens(keys, **more):
    config = MqttTokens(keys="/keys", **{"algorithms": ["ES256"], **more})
    return LoginTokens(config, keys, FakeClock(NOW_S * 1000))


def pem(key):
    return key.as_pem(private=False)


def token(key=EC, alg="ES256", header=None, **claims):
    payload = {"sub": "press", "exp": NOW_S + 60, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # EdDSA is what most still call Ed25519
        return jwt.encode({"alg": alg, **(header or {})}, payload, key, algorithms=ALGORITHMS).encode()


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(EC, "ES256"), (RSAKey.generate_key(2048), "RS256"), (ED, "EdDSA"), (ED, "Ed25519")],
)
def test_a_token_names_its_user(key, algorithm):
    assert tokens(pem(key), algorithms=[algorithm]).user_of(token(key, algorithm))[0] == "press"


def test_keys_of_a_set_are_told_apart_by_their_names():
    keys = json.dumps(KeySet([EC, OTHER, SECRET]).as_dict()).encode()
    found = tokens(keys, algorithms=["ES256", "HS256"])
    assert found.user_of(token(OTHER, header={"kid": "two"}))[0] == "press"
    assert found.user_of(token(SECRET, "HS256", header={"kid": "shared"}))[0] == "press"
    with pytest.raises(Unauthenticated):
        found.user_of(token(OTHER, header={"kid": "one"}))


def test_the_user_issuer_and_audience_are_as_the_document_says():
    found = tokens(pem(EC), user_claim="device", issuer="https://id.test", audience="plant")
    good = {"device": "d1", "iss": "https://id.test", "aud": ["plant", "other"]}
    assert found.user_of(token(**good))[0] == "d1"
    for wrong in (
        {"device": None},
        {"device": 5},
        {"device": ""},
        {"iss": "x"},
        {"iss": None},
        {"aud": "x"},
        {"aud": None},
    ):
        with pytest.raises(Unauthenticated):
            found.user_of(token(**{**good, **wrong}))


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"exp": NOW_S - 29}, True),
        ({"exp": NOW_S - 30}, False),
        ({"exp": None}, False),
        ({"nbf": NOW_S + 30}, True),
        ({"nbf": NOW_S + 31}, False),
    ],
)
def test_a_token_is_good_for_its_time(claims, good):
    found = tokens(pem(EC))
    if good:
        assert found.user_of(token(**claims))[0] == "press"
        return
    with pytest.raises(Unauthenticated):
        found.user_of(token(**claims))


def test_a_token_of_another_key_or_algorithm_is_refused():
    found = tokens(pem(EC))
    unsigned = b"eyJhbGciOiJub25lIn0." + token().split(b".")[1] + b"."
    public_key_as_secret = token(OctKey.import_key(b"x" * 32), "HS256")
    for wrong in (token(OTHER), unsigned, public_key_as_secret, token()[:-4], b"eyJ..", b"eyJ.\xff.", b"x" * 9000):
        with pytest.raises(Unauthenticated):
            found.user_of(wrong)
    with pytest.raises(Unauthenticated):
        tokens(pem(EC), algorithms=["ES256", "HS256"]).user_of(public_key_as_secret)


def test_how_long_a_token_is_good_is_said_with_its_user():
    user, left_s = tokens(pem(EC), algorithms=["ES256"]).user_of(token())
    assert (user, left_s) == ("press", 60 + LEEWAY_S)


def test_keys_may_be_replaced():
    found = tokens(pem(EC))
    with pytest.raises(InvalidInput):
        found.replace_keys(b"nonsense")
    assert found.user_of(token())[0] == "press"
    found.replace_keys(pem(OTHER))
    with pytest.raises(Unauthenticated):
        found.user_of(token())
    assert found.user_of(token(OTHER))[0] == "press"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": []}',
        b'{"keys": 5}',
        b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n",
        EC.as_pem(private=True),
        json.dumps({"kty": "oct", "k": "c2hvcnQ"}).encode(),
        json.dumps({"kty": "oct", "k": "MTIzNDU2Nzg5MDEyMzQ1Ng"}).encode(),
        b'{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}',
    ],
)
def test_what_are_no_keys(data):
    with pytest.raises(InvalidInput, match="read token keys /keys"):
        tokens(data)
