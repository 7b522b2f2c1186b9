"""Who may see the page."""

import pytest

from littoral.dashboard.session import SESSION_S, Sessions, is_known_host, is_same_origin, is_token
from tests.support.fakes import FakeClock

TOKEN = "t" * 43


def test_a_session_lasts_until_it_expires_or_the_token_changes() -> None:
    clock = FakeClock()
    sessions = Sessions(clock)
    cookie = sessions.issue(TOKEN)
    assert TOKEN not in cookie
    assert sessions.is_valid(cookie, TOKEN)
    assert not sessions.is_valid(cookie, "u" * 43)
    clock.advance(seconds=SESSION_S + 1)
    assert not sessions.is_valid(cookie, TOKEN)


def test_an_expiry_cannot_be_moved() -> None:
    sessions = Sessions(FakeClock())
    expiry, _, seal = sessions.issue(TOKEN).partition(".")
    assert not sessions.is_valid(f"{int(expiry) + 1}.{seal}", TOKEN)


@pytest.mark.parametrize("cookie", ["", ".", "1", "x.y", "-1.00", "9" * 40 + ".00", "²." + "0" * 64, "1.é"])
def test_what_is_no_cookie_is_no_session(cookie: str) -> None:
    assert not Sessions(FakeClock()).is_valid(cookie, TOKEN)


def test_a_token_is_compared_whole() -> None:
    assert is_token(f"{TOKEN}\n", TOKEN)
    assert not is_token(TOKEN[:-1], TOKEN)
    assert not is_token("", TOKEN)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:80", "hub.example:1", "hub.example."]
)
def test_the_loopback_and_advertised_names_are_known(host: str) -> None:
    assert is_known_host(host, ["Hub.example"])


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::2]:80"]
)
def test_other_names_are_not(host: str) -> None:
    assert not is_known_host(host, ["hub.example"])


def test_a_page_of_another_site_is_told_by_its_origin() -> None:
    assert is_same_origin(None, "127.0.0.1:1")
    assert is_same_origin("http://127.0.0.1:1", "127.0.0.1:1")
    assert not is_same_origin("http://127.0.0.1:2", "127.0.0.1:1")
    assert not is_same_origin("null", "127.0.0.1:1")
