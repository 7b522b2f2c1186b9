import pytest

from littoral.gateway.field_block import Fields
from littoral.gateway.origins.steers import HashSource, MarkCookie, Steers
from littoral.gateway.origins.transport import OriginRequest, Steering
from tests.support.exchanges import MemoryExchange


@pytest.mark.parametrize(
    ("cookie", "over_tls", "set_cookie"),
    [
        (MarkCookie("m"), False, "m=1; Path=/; HttpOnly; SameSite=Lax"),
        (MarkCookie("m"), True, "m=1; Path=/; HttpOnly; SameSite=Lax; Secure"),
        (MarkCookie("m", secure=False), True, "m=1; Path=/; HttpOnly; SameSite=Lax"),
        (MarkCookie("m", secure=True), False, "m=1; Path=/; HttpOnly; SameSite=Lax; Secure"),
        (MarkCookie("m", 60, "strict"), False, "m=1; Path=/; HttpOnly; SameSite=Strict; Max-Age=60"),
        (MarkCookie("m", same_site="none"), False, "m=1; Path=/; HttpOnly; SameSite=None; Secure"),
    ],
)
def test_what_a_client_is_told(cookie: MarkCookie, over_tls: bool, set_cookie: str) -> None:
    fields = Steers(cookie).told(Steering("", over_tls=over_tls), "1")
    assert fields == (("set-cookie", set_cookie), ("cache-control", "private"))


def test_who_knows_its_mark_is_not_told_again() -> None:
    steers = Steers(MarkCookie("m"))
    assert steers.told(Steering("1"), "1") == ()
    assert steers.told(Steering("1"), "2") != ()
    assert Steers(None, HashSource("client")).told(Steering(), "1") == ()


@pytest.mark.parametrize(
    ("source", "fields", "key"),
    [
        (HashSource("client"), (), "192.0.2.7"),
        (HashSource("header", "x-user"), (("x-user", "ann"),), "ann"),
        (HashSource("header", "x-user"), (("x-user", "ann"), ("x-user", "bob")), "ann, bob"),
        (HashSource("header", "x-user"), (), ""),
        (HashSource("cookie", "session"), (("cookie", "a=1; session=2"),), "2"),
        (HashSource("cookie", "session"), (("session", "2"),), ""),
    ],
)
def test_what_a_request_is_hashed_by(source: HashSource, fields: Fields, key: str) -> None:
    exchange = MemoryExchange("GET", "/", fields)
    steered = Steers(None, source).steered(OriginRequest("GET", "/", fields), exchange)
    assert steered == OriginRequest("GET", "/", fields, steering=Steering("", key))


def test_the_mark_is_for_the_gateway_and_not_for_the_origin() -> None:
    fields = (("cookie", "a=1; m=2"), ("x", "y"))
    exchange = MemoryExchange("GET", "/", fields, scheme="https")
    steered = Steers(MarkCookie("m"), HashSource("cookie", "m")).steered(OriginRequest("GET", "/", fields), exchange)
    assert steered.fields == [("cookie", "a=1"), ("x", "y")]
    assert steered.steering == Steering("2", "2", over_tls=True)
