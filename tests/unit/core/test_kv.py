import pytest

from littoral.core.errors import InvalidInput
from littoral.core.kv import KvEntry, expiration

NOW_S = 1_700_000_000


@pytest.mark.parametrize(
    ("given", "expires_s"),
    [
        ({}, 0),
        ({"ttl_s": 60}, NOW_S + 60),
        ({"expires_s": NOW_S + 60}, NOW_S + 60),
        ({"ttl_s": 86_400}, NOW_S + 86_400),
    ],
)
def test_an_expiration_is_a_time_or_so_long_from_now(given: dict[str, int], expires_s: int):
    assert expiration("put key", "k", NOW_S * 1000 + 999, **given) == expires_s


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ttl_s": 59}, "it would expire in 59 seconds; at least 60 are needed"),
        ({"expires_s": NOW_S + 59}, "it would expire in 59 seconds"),
        ({"expires_s": 0}, "at least 60 are needed"),
        ({"ttl_s": 1 << 60}, "at least 60 are needed"),
        ({"ttl_s": 60, "expires_s": NOW_S + 60}, "both an expiration and a time to live"),
    ],
)
def test_one_that_is_too_soon_is_refused(given: dict[str, int], said: str):
    with pytest.raises(InvalidInput, match=said):
        expiration("put key", "k", NOW_S * 1000, **given)


def test_a_key_lives_until_the_second_in_which_it_expires():
    entry = KvEntry("k", b"v", 1, "n", NOW_S)
    assert entry.lives(NOW_S * 1000 - 1)
    assert not entry.lives(NOW_S * 1000)
    assert KvEntry("k", b"v", 1, "n").lives(1 << 60)
    assert not KvEntry("k", None, 1, "n").lives(0)
