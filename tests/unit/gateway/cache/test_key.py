import pytest

from littoral.core.resources.web import CacheKey, QueryKey
from littoral.gateway.cache.key import (
    DESKTOP,
    MOBILE,
    SEPARATOR,
    TABLET,
    device_of,
    is_of_app,
    key_maker,
    path_of,
    url_key,
)
from littoral.gateway.target import read_target
from tests.support.exchanges import MemoryExchange

PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36"
ANDROID_TABLET = "Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"
LAPTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0"


def key(spec: CacheKey, target: str = "/a", host: str = "Edge.Test:80", **fields: str) -> str:
    exchange = MemoryExchange("GET", target, [(n.replace("_", "-"), v) for n, v in fields.items()], host)
    return key_maker(spec)(exchange, read_target(target))


def test_a_plain_key_is_the_url() -> None:
    assert key(CacheKey(), "/a?b=1") == "http://edge.test/a?b=1" == url_key("http", "EDGE.test.", "/a?b=1")
    assert key(CacheKey(), host="edge.test:8080") == "http://edge.test:8080/a"
    assert key(CacheKey(), host="[::1]:443") == "http://[::1]:443/a"


@pytest.mark.parametrize(
    ("query", "sent", "kept"),
    [
        (QueryKey(allow=["a", "p*"]), "b=1&a=2&page=3&p=4", "a=2&page=3&p=4"),
        (QueryKey(allow=[]), "b=1&a=2", ""),
        (QueryKey(deny=["utm_*"]), "utm_source=x&a=2&utm_medium=y", "a=2"),
        (QueryKey(sort=True), "b=1&a=2&a=1", "a=1&a=2&b=1"),
        (QueryKey(), "b=1&&a=2", "b=1&&a=2"),
    ],
)
def test_a_route_says_what_of_the_query_counts(query: QueryKey, sent: str, kept: str) -> None:
    assert key(CacheKey(query=query), f"/a?{sent}") == "http://edge.test/a" + (f"?{kept}" if kept else "")


def test_answers_of_an_app_have_keys_that_no_request_can_ask_for_in_another_ones_name() -> None:
    make = key_maker(CacheKey(headers=["x-shop"]), "shop")
    made = make(MemoryExchange("GET", "/a?b=app shop", [("x-shop", "app store")]), read_target("/a?b"))
    assert made == SEPARATOR.join(["http://edge.test/a?b", "app shop", "x-shop: app store"])
    assert is_of_app(made, "shop")
    assert is_of_app(key_maker(CacheKey(), "shop")(MemoryExchange("GET", "/a"), read_target("/a")), "shop")
    assert [is_of_app(made, other) for other in ("sho", "store", "hop", "shop2")] == [False] * 4
    assert not is_of_app(key(CacheKey(), "/shop"), "shop")
    assert path_of(made).startswith("/a?b")
    assert [path_of(f"{scheme}://x/a/b") for scheme in ("http", "https")] == ["/a/b"] * 2


def test_fields_and_cookies_and_devices_follow_the_url() -> None:
    spec = CacheKey(headers=["X-Country"], cookies=["tier"], device=True)
    made = key(spec, x_country="de", cookie="id=5; tier=gold; tier=free", user_agent=PHONE)
    assert made.split(SEPARATOR) == ["http://edge.test/a", "x-country: de", "cookie tier=gold", "device mobile"]
    assert key(spec).split(SEPARATOR)[1:] == ["x-country: ", "cookie tier=", "device desktop"]


@pytest.mark.parametrize(
    ("hint", "agent", "device"),
    [
        ("", PHONE, MOBILE),
        ("", ANDROID_TABLET, TABLET),
        ("", "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X)", TABLET),
        ("", LAPTOP, DESKTOP),
        ("?1", LAPTOP, MOBILE),
        ("?0", PHONE, DESKTOP),
        ("", "", DESKTOP),
    ],
)
def test_devices(hint: str, agent: str, device: str) -> None:
    assert device_of(hint, agent) == device
