"""What is stored, and for how long it is fresh: RFC 9111, sections 3 and 4.2; RFC 9213."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack

from littoral.wire.caching.fields import Fields
from littoral.wire.caching.http_date import format_date
from littoral.wire.caching.policy import DAY_S, CachePolicy
from littoral.wire.caching.storing import NEVER, NotStored, Stored, judge, never_stored

NOW_S = 1_800_000_000.0
POLICY = CachePolicy()


def at(seconds: float) -> str:
    """A date so many seconds from now."""
    return format_date(NOW_S + seconds)


def judged(
    *fields: tuple[str, str],
    status: int = 200,
    method: str = "GET",
    asked: dict[str, str] | None = None,
    policy: CachePolicy = POLICY,
    delay_s: float = 0.0,
    uri: str = "",
) -> Stored | NotStored:
    return judge(method, asked or {}, status, fields, NOW_S - delay_s, NOW_S, policy, uri=uri)


def stored(
    *fields: tuple[str, str],
    status: int = 200,
    asked: dict[str, str] | None = None,
    policy: CachePolicy = POLICY,
    delay_s: float = 0.0,
) -> Stored:
    result = judged(*fields, status=status, asked=asked, policy=policy, delay_s=delay_s)
    assert isinstance(result, Stored), result
    return result


def fresh_s(*fields: tuple[str, str], status: int = 200, policy: CachePolicy = POLICY) -> float:
    """How much longer it is fresh, from now on."""
    return stored(*fields, ("etag", '"x"'), status=status, policy=policy).fresh_until_s - NOW_S


def cc(value: str) -> tuple[str, str]:
    return ("cache-control", value)


DATE = ("date", at(0))


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_these_may_be_taken_for_fresh_though_they_do_not_say_so(status: int):
    assert fresh_s(("last-modified", at(-1000)), DATE, status=status) == 100
    assert stored(("last-modified", at(-1000)), DATE, status=status).heuristic


@pytest.mark.parametrize("status", [201, 202, 302, 303, 307, 400, 403, 429, 500, 502, 503, 504, 599])
def test_others_must_say_it(status: int):
    silent = [("last-modified", at(-1000)), DATE]
    assert judged(*silent, status=status) is NotStored.STATUS
    assert fresh_s(*silent, cc("public"), status=status) == 100
    assert fresh_s(cc("max-age=60"), status=status) == 60
    assert fresh_s(("expires", at(60)), DATE, status=status) == 60


@pytest.mark.parametrize("status", [100, 103, 304, 416])
def test_what_is_no_answer_of_its_own_is_not_stored(status: int):
    assert judged(cc("max-age=60"), status=status) is NotStored.STATUS


@pytest.mark.parametrize(
    ("fields", "asked", "reason"),
    [
        ([cc("no-store")], {}, NotStored.NO_STORE),
        ([cc("max-age=10000, No-Store"), ("expires", at(100))], {}, NotStored.NO_STORE),
        ([cc("max-age=60")], {"cache-control": "no-store"}, NotStored.REQUEST_NO_STORE),
        ([cc("private, max-age=60")], {}, NotStored.PRIVATE),
        ([cc("max-age=60")], {"authorization": "x"}, NotStored.AUTHORIZATION),
        ([cc("max-age=60, proxy-revalidate")], {"authorization": "x"}, NotStored.AUTHORIZATION),
        ([cc("max-age=60"), ("set-cookie", "a=b")], {}, NotStored.SET_COOKIE),
        ([cc("max-age=60"), ("vary", "Foo, *")], {}, NotStored.VARY),
        ([cc("max-age=0")], {}, NotStored.USELESS),
        ([cc("max-age=60, no-cache")], {}, NotStored.USELESS),
        ([cc("max-age=60"), DATE, ("age", str(10**7))], {}, NotStored.USELESS),
        ([], {}, NotStored.USELESS),
    ],
)
def test_what_is_not_stored(fields: list[tuple[str, str]], asked: dict[str, str], reason: NotStored):
    """Sections 3 and 3.5."""
    assert judged(*fields, asked=asked) is reason


@pytest.mark.parametrize("value", ["public", "must-revalidate", "s-maxage=60"])
def test_what_is_for_others_too_is_stored_though_the_request_was_authenticated(value: str):
    assert stored(cc(f"max-age=60, {value}"), asked={"authorization": "x"}).fresh_until_s == NOW_S + 60


def test_must_understand_goes_before_no_store_where_the_status_is_known():
    """Section 5.2.2.3."""
    value = cc("max-age=3600, no-store, must-understand")
    assert stored(value, status=200).fresh_until_s == NOW_S + 3600
    assert judged(value, status=599) is NotStored.NO_STORE
    assert judged(cc("max-age=3600, must-understand"), status=599) is NotStored.NO_STORE


def test_a_guess_is_not_made_of_what_came_for_a_cookie():
    fields = [("last-modified", at(-1000)), DATE]
    assert stored(*fields, asked={"cookie": "a=b"}).fresh_until_s == NOW_S
    assert stored(*fields, cc("public"), asked={"cookie": "a=b"}).fresh_until_s == NOW_S + 100
    assert stored(cc("max-age=60"), asked={"cookie": "a=b"}).fresh_until_s == NOW_S + 60


def test_what_a_policy_says_holds_for_what_came_for_a_cookie():
    found = stored(("last-modified", at(-1000)), DATE, asked={"cookie": "a=b"}, policy=CachePolicy(default_ttl_s=30))
    assert (found.fresh_until_s, found.error_until_s) == (NOW_S + 30, NOW_S + 30 + DAY_S)


def test_a_default_is_for_what_may_be_stored():
    assert judged(status=503, policy=CachePolicy(default_ttl_s=30)) is NotStored.STATUS


def test_cookies_are_stored_if_the_policy_says_so():
    found = stored(cc("max-age=60"), ("set-cookie", "a=b"), policy=CachePolicy(store_set_cookie=True))
    assert ("set-cookie", "a=b") in found.fields


def test_what_only_its_cookies_keep_private_is_stored_without_them():
    found = stored(cc('max-age=60, private="set-cookie"'), ("set-cookie", "a=b"))
    assert ("set-cookie", "a=b") not in found.fields


@pytest.mark.parametrize("value", ["no-cache", "no-cache, max-age=60", "no-cache, stale-if-error=60"])
def test_no_cache_is_stored_to_be_validated_only(value: str):
    found = stored(cc(value), ("etag", '"x"'))
    assert (found.fresh_until_s, found.revalidate_until_s, found.error_until_s) == (NEVER, NEVER, NEVER)
    assert found.must_revalidate


@pytest.mark.parametrize(
    ("value", "revalidate_s", "error_s"),
    [
        ("max-age=10", None, 10 + DAY_S),
        ("max-age=10, stale-while-revalidate=5", 15, 10 + DAY_S),
        ("max-age=10, stale-if-error=5", None, 15),
        ("max-age=10, stale-if-error=0", None, None),
        ("max-age=10, stale-if-error=5, stale-while-revalidate=7", 17, 17),
        ("s-maxage=10", None, None),
        ("s-maxage=10, stale-while-revalidate=5", 15, 15),
        ("max-age=10, must-revalidate, stale-while-revalidate=5, stale-if-error=5", None, None),
        ("max-age=10, proxy-revalidate, stale-if-error=5", None, None),
    ],
)
def test_until_when_it_may_be_served_stale(value: str, revalidate_s: float | None, error_s: float | None):
    """RFC 5861; RFC 9111, sections 4.2.4, 5.2.2.2, 5.2.2.8 and 5.2.2.10."""
    found = stored(cc(value))
    assert found.revalidate_until_s == (NEVER if revalidate_s is None else NOW_S + revalidate_s)
    assert found.error_until_s == (NEVER if error_s is None else NOW_S + error_s)


def test_the_policys_windows_are_for_what_says_how_long_it_is_fresh():
    policy = CachePolicy(stale_while_revalidate_s=7, stale_if_error_s=9, ttl_by_status_s={404: 5})
    found = stored(cc("max-age=10"), policy=policy)
    assert (found.revalidate_until_s, found.error_until_s) == (NOW_S + 17, NOW_S + 19)
    found = stored(("last-modified", at(-1000)), DATE, policy=policy)
    assert (found.revalidate_until_s, found.error_until_s) == (NEVER, NEVER)
    found = stored(cc("max-age=0"), ("etag", '"x"'), policy=policy)
    assert (found.revalidate_until_s, found.error_until_s) == (NEVER, NOW_S + 9)
    found = stored(status=404, policy=policy)
    assert (found.revalidate_until_s, found.error_until_s) == (NOW_S + 12, NOW_S + 14)


def test_what_was_stale_when_it_came_may_stand_in_for_an_error():
    found = stored(("expires", at(-5000)), ("last-modified", at(-100_000)), DATE)
    assert found.fresh_until_s == NOW_S
    assert found.error_until_s == NOW_S + DAY_S


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("private", NotStored.PRIVATE),
        ("no-store", NotStored.NO_STORE),
        ("no-cache", NotStored.USELESS),
        ('max-age="10000"', NotStored.USELESS),
    ],
)
def test_a_targeted_field_may_forbid_it(value: str, reason: NotStored):
    assert judged(("cdn-cache-control", value), cc("max-age=10000"), ("expires", at(10000)), DATE) is reason


@pytest.mark.parametrize("value", ["max-age=0, stale-while-revalidate=5", "max-age=0, stale-if-error=5"])
def test_what_is_stale_already_is_stored_if_it_says_what_for(value: str):
    assert stored(cc(value)).error_until_s >= NOW_S + 5


@pytest.mark.parametrize("value", ["no-store", "private", "no-cache"])
def test_no_policy_makes_fresh_what_must_not_be(value: str):
    policy = CachePolicy(override_ttl_s=60, minimum_ttl_s=60, default_ttl_s=60, ttl_by_status_s={200: 60})
    assert isinstance(judged(cc(value), policy=policy), NotStored)


def test_what_is_kept_of_the_fields():
    """Section 3.1."""
    found = stored(
        cc('max-age=60, no-cache="w", private="P"'),
        DATE,
        ("connection", "a, B"),
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("w", "4"),
        ("p", "5"),
        ("keep-alive", "x"),
        ("proxy-authenticate", "x"),
        ("proxy-authentication-info", "x"),
        ("proxy-authorization", "x"),
        ("proxy-connection", "x"),
        ("te", "x"),
        ("trailer", "x"),
        ("transfer-encoding", "x"),
        ("upgrade", "x"),
        ("age", "5"),
        ("cache-status", "x; hit"),
        ("server-timing", "db;dur=5"),
        ("content-length", "7"),
        ("content-range", "x"),
        ("link", "1"),
        ("link", "2"),
        ("x-tag", "x"),
        policy=CachePolicy(consumed_fields=("x-tag",)),
    )
    assert found.fields == (
        cc('max-age=60, no-cache="w", private="P"'),
        DATE,
        ("c", "3"),
        ("content-range", "x"),
        ("link", "1"),
        ("link", "2"),
    )


@pytest.mark.parametrize("fields", [[], [("date", "foo")]])
def test_what_has_no_date_gets_one(fields: Fields):
    """RFC 9110, section 6.6.1."""
    found = stored(cc("max-age=60"), *fields)
    assert [value for name, value in found.fields if name == "date"] == [at(0)]
    assert found.date_s == NOW_S


def test_the_facts_of_validation_are_kept():
    found = stored(cc("max-age=60"), ("etag", 'W/"x"'), ("last-modified", at(-50)), ("vary", "B, a"), DATE)
    assert (found.etag, found.modified, found.modified_s, found.vary) == ('W/"x"', at(-50), NOW_S - 50, ("a", "b"))


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "get"])
def test_other_methods_are_not_stored(method: str):
    assert judged(cc("max-age=60"), method=method, uri="http://h/a") is NotStored.METHOD


@pytest.mark.parametrize(
    ("location", "expected"),
    [("", True), ("/a?b", True), ("http://h/a?b", True), ("/a", False), ("http://i/a?b", False), ("http://[", False)],
)
def test_a_post_is_stored_where_it_gave_what_get_would(location: str, expected: bool):
    """RFC 9110, section 9.3.3."""
    fields = [cc("max-age=60"), ("content-location", location)]
    assert isinstance(judged(*fields, method="POST", uri="http://h/a?b"), Stored) is expected
    assert judged(*fields, method="POST") is NotStored.METHOD
    assert judged(fields[1], ("etag", '"x"'), method="POST", uri="http://h/a?b") is NotStored.METHOD


def test_a_part_is_stored_as_one():
    """Section 3.3."""
    fields = [cc("max-age=60"), ("content-range", "bytes 5-9/20")]
    found = stored(*fields, status=206, asked={"range": "bytes=5-9"})
    assert (found.parts, found.total, found.whole) == (((5, 10),), 20, False)
    assert "content-range" not in dict(found.fields)
    whole = stored(cc("max-age=60"), ("content-range", "bytes 0-19/20"), status=206, asked={"range": "bytes=0-"})
    assert whole.whole


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("bytes 5-9/20", {}),
        ("bytes 5-9/*", {"range": "x"}),
        ("bytes 9-5/20", {"range": "x"}),
        ("bytes 5-20/20", {"range": "x"}),
        ("lines 5-9/20", {"range": "x"}),
        ("", {"range": "x"}),
    ],
)
def test_a_part_of_which_it_is_not_known_where_it_belongs_is_not_stored(value: str, asked: dict[str, str]):
    found = judged(cc("max-age=60"), ("content-range", value), status=206, asked=asked)
    assert found is NotStored.RANGE


NAMES = st.sampled_from(
    ["cache-control", "expires", "date", "age", "vary", "etag", "last-modified", "content-range", "cdn-cache-control"]
)
VALUES = st.text(max_size=30) | st.sampled_from(["max-age=60", "public", at(0), at(-500), "5", "bytes 0-4/9", "*"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.integers(100, 599))
def test_no_response_raises_and_what_is_stored_can_be_written_down(fields: list[tuple[str, str]], status: int):
    found = judge("GET", {"range": "bytes=0-4"}, status, fields, NOW_S, NOW_S, POLICY)
    if isinstance(found, Stored):
        assert msgpack.decode(msgpack.encode(found), type=Stored) == found
        assert found.born_s <= NOW_S
        assert found.error_until_s >= found.revalidate_until_s


WORDS = ["no-store", "private", 'private="x"', "no-cache", "public", "max-age=60", "s-maxage=0", "must-understand", ""]


@given(
    st.lists(st.sampled_from(WORDS), max_size=3),
    st.lists(st.sampled_from(WORDS), max_size=2),
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["authorization", "cookie", "range"]), st.just("x"), max_size=2),
    st.floats(0, 1e10),
)
def test_what_is_never_stored_is_not_whoever_asks_and_whenever_it_comes(
    said: list[str], targeted: list[str], status: int, asked: dict[str, str], now_s: float
):
    fields = [("cache-control", ", ".join(said)), ("cdn-cache-control", ", ".join(targeted)), ("set-cookie", "a=b")]
    for policy in (CachePolicy(), CachePolicy(store_set_cookie=True, override_ttl_s=60, ttl_by_status_s={status: 9})):
        reason = never_stored(status, fields, policy)
        if reason is not None:
            assert judge("GET", asked, status, fields, now_s, now_s, policy) is reason


def test_what_is_never_stored_is_known_by_its_fields():
    assert never_stored(200, [cc("no-store")], POLICY) is NotStored.NO_STORE
    assert never_stored(500, [cc("private")], POLICY) is NotStored.PRIVATE
    for status, value in ((200, "max-age=60"), (206, "no-store"), (304, "private"), (200, "no-store, must-understand")):
        assert never_stored(status, [cc(value)], POLICY) is None
