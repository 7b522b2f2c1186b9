"""The key of webhooks: made once, kept secret; and what is signed with it."""

import base64
import hashlib
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from littoral.core.errors import StartupError
from littoral.drivers.disk import LocalDisk
from littoral.security.webhook_key import KEY_PATH, WakeRef, WebhookKey, load_or_create_webhook_key
from littoral.testing.random import SeededRandom

WAKE = WakeRef("own/s", 7, "w_1")


def made(seed: int = 1, directory: Path | None = None, *, where: Path) -> WebhookKey:
    return load_or_create_webhook_key(LocalDisk(directory or where / str(seed)), SeededRandom(seed))


def test_it_is_made_once_and_readable_by_its_owner_only(tmp_path: Path):
    disk = LocalDisk(tmp_path)
    first = load_or_create_webhook_key(disk, SeededRandom(1))
    assert stat.S_IMODE((tmp_path / KEY_PATH).stat().st_mode) == 0o600
    again = load_or_create_webhook_key(disk, SeededRandom(2))
    assert (again.jwk, again.token(WAKE)) == (first.jwk, first.token(WAKE))


@pytest.mark.parametrize("content", [b"", b"x", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes):
    disk = LocalDisk(tmp_path)
    disk.write(KEY_PATH, content, secret=True)
    with pytest.raises(StartupError, match=r"identity/webhooks\.pem.*delete it"):
        load_or_create_webhook_key(disk, SeededRandom(1))


def test_the_key_id_is_the_thumbprint_of_the_public_key(tmp_path: Path):
    key = made(where=tmp_path)
    jwk = key.jwk
    canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x")}, separators=(",", ":"))
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).decode()
    assert jwk["kid"] == key.kid
    assert thumbprint.startswith(key.kid.removeprefix("ds_"))
    assert made(2, where=tmp_path).kid != key.kid
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "="))
    public.verify(base64.urlsafe_b64decode(key.sign(b"data") + "=="), b"data")


def test_a_token_is_of_one_wake_of_one_subscription_of_one_node(tmp_path: Path):
    key = made(where=tmp_path)
    token = key.token(WAKE)
    assert key.wake_of("own/s", token) == WAKE
    assert key.wake_of("own/t", token) is None
    assert made(2, where=tmp_path).wake_of("own/s", token) is None
    for other in (WakeRef("own/s", 8, "w_1"), WakeRef("own/s", 7, "w_2"), WakeRef("tree/s", 7, "w_1")):
        assert key.token(other) != token
    mac = token.rpartition(".")[2]
    forged = (f"8.w_1.{mac}", f"7.w_2.{mac}", f"07.w_1.{mac}", f"7.w_1.{mac[:-1]}", mac, "", "..", "7.w_1.", "7.w_1.ä")
    assert [key.wake_of("own/s", each) for each in forged] == [None] * len(forged)
