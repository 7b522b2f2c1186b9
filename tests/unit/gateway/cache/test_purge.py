import gc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.errors import InvalidInput
from littoral.core.resources.web import CacheKey, QueryKey
from littoral.gateway.cache.entry import TAG_BYTES, Entry
from littoral.gateway.cache.key import SEPARATOR, key_maker
from littoral.gateway.cache.memory import LET_GO, MemoryTier
from littoral.gateway.cache.purge import (
    EVERYTHING,
    Aim,
    Purge,
    aim_of,
    check_purge,
    decode_purge,
    encode_purge,
    read_place,
    tags_of,
)
from littoral.gateway.cache.purge_log import REMEMBERED_MOST, PurgeLog
from littoral.gateway.target import read_target
from littoral.wire.caching.selection import variant_key
from littoral.wire.caching.storing import Stored
from tests.support.exchanges import MemoryExchange

PLAIN = key_maker(CacheKey())
SHORT = key_maker(CacheKey(query=QueryKey(deny=["utm_*"], sort=True), headers=["x-shop"], device=True))
URL = "http://edge.test/a"


def entry(key: str, *tags: str, vary: tuple[str, ...] = (), **asked: str) -> Entry:
    fields = (("cache-tag", ",".join(tags)),) if tags else ()
    stored = Stored(200, fields, 0.0, 0.0, 60.0, 90.0, 120.0, vary)
    return Entry(key, variant_key(vary, asked), stored, (b"x",))


def url_aim(url: str, *makers: Any) -> Aim:
    return aim_of(Purge("url", url), makers or (PLAIN,))


def test_a_url_is_meant_in_whatever_form_it_is_written() -> None:
    for url in (URL, "HTTP://EDGE.test:80/a", "http://edge.test/./b/../%61#part", "edge.test/a", "//edge.test/a"):
        assert url_aim(url).hits(URL, ()), url
        assert url_aim(url).hits(f"{URL}{SEPARATOR}device mobile", ()), url
    for url in (
        "https://edge.test/a",
        "http://edge.test:81/a",
        "http://edge.test/a?",
        "http://edge.test/A",
        "edge.test/a/",
    ):
        assert url_aim(url).hits(URL, ()) is (url[-1] == "?"), url


@given(st.text("ab%2F1.~/?&=é-", max_size=12), st.sampled_from([PLAIN, SHORT]))
def test_what_a_request_is_stored_under_is_what_a_purge_of_its_url_is_meant_for(rest: str, maker: Any) -> None:
    try:
        target = read_target(f"/{rest}")
    except InvalidInput:
        with pytest.raises(InvalidInput):
            check_purge(Purge("url", f"http://edge.test/{rest}"))
        return
    key = maker(MemoryExchange("GET", f"/{rest}", [("x-shop", "1"), ("user-agent", "iPhone")]), target)
    assert url_aim(f"http://edge.test/{rest}", PLAIN, SHORT).hits(key, ())


def test_a_url_is_meant_under_the_keys_that_any_route_makes_of_it() -> None:
    aim = url_aim(f"{URL}?b=1&utm_source=mail&a=2", PLAIN, SHORT)
    assert aim.urls == {f"{URL}?b=1&utm_source=mail&a=2", f"{URL}?a=2&b=1"}


def test_a_prefix_is_a_host_and_how_its_paths_begin() -> None:
    aim = aim_of(Purge("prefix", "edge.test/im/./a*"), ())
    for url in (
        "http://edge.test/im/a",
        "https://edge.test/im/abc?x",
        f"http://edge.test/im/a{SEPARATOR}device tablet",
    ):
        assert aim.hits(url, ()), url
    for url in ("http://edge.test/im/b", "http://edge.test.other/im/a", "http://edge.test:81/im/a"):
        assert not aim.hits(url, ()), url
    assert not aim_of(Purge("prefix", "edge.test"), ()).hits("http://edge.test.other/", ())


APPS_PURGES = [
    (Purge("all", app="shop"), {"shop/a", "shop/b"}),
    (Purge("tag", "x", app="shop"), {"shop/a"}),
    (Purge("path", "/./a*", app="shop"), {"shop/a"}),
    (Purge("prefix", "edge.test/", app="shop"), {"shop/a", "shop/b"}),
    (Purge("url", "edge.test/b", app="shop"), {"shop/b"}),
    (Purge("path", "/a"), {"shop/a", "other/a", "/a"}),
]


@pytest.mark.parametrize(
    ("purge", "meant"), APPS_PURGES, ids=[f"{purge.kind} {purge.value}" for purge, _ in APPS_PURGES]
)
def test_a_purge_of_an_apps_is_meant_for_its_answers_only(purge: Purge, meant: set[str]) -> None:
    tier = MemoryTier(1 << 20)
    aim = aim_of(decode_purge(encode_purge(purge)), (PLAIN,))
    entries: dict[str, Entry] = {}
    for app in ("shop", "other", ""):
        for path, tag in (("/a", "x"), ("/b", "y")):
            made = key_maker(CacheKey(), app)(MemoryExchange("GET", path), read_target(path))
            entries[f"{app}{path}"] = entry(made, tag)
            tier.put(entries[f"{app}{path}"])
    assert {name for name, each in entries.items() if aim.hits(each.key, each.tags)} == meant
    assert tier.purge(aim) == len(meant)
    assert {name for name, each in entries.items() if not each.is_in} == meant
    assert not aim.everything


@pytest.mark.parametrize(
    ("purge", "cause"),
    [
        (Purge("path", "a"), "begins with a slash"),
        (Purge("path", "/a?b"), "has no query"),
        (Purge("path", "/a b"), "percent-encoded"),
        (Purge("url", ""), "it is not one of a web server's"),
        (Purge("url", "ftp://edge.test/a"), "it is not one of a web server's"),
        (Purge("url", "http://user@edge.test/a"), "it is not one of a web server's"),
        (Purge("url", "/a"), "it is not one of a web server's"),
        (Purge("url", "http://./a"), "it is not one of a web server's"),
        (Purge("url", "http://edge.test/a b"), "percent-encoded"),
        (Purge("url", "http://edge.test/%zz"), "hexadecimal"),
        (Purge("url", "http://edge.test/" + "a" * 9000), "at most 8192"),
        (Purge("prefix", "http://edge.test/a?b"), "without a query"),
        (Purge("tag", ""), "no spaces"),
        (Purge("tag", "a b"), "no spaces"),
        (Purge("tag", "a,b"), "no commas"),
    ],
)
def test_what_could_be_meant_for_nothing_is_refused(purge: Purge, cause: str) -> None:
    with pytest.raises(InvalidInput, match=cause):
        check_purge(purge)
    assert decode_purge(encode_purge(purge)) == EVERYTHING


def test_what_cannot_be_read_purges_everything() -> None:
    purge = Purge("tag", "a", soft=True, at_ms=1)
    assert decode_purge(encode_purge(purge)) == purge
    for record in (b"", b"\xc1", encode_purge("x"), msgspec.msgpack.encode({"kind": "moon", "value": "full"})):
        assert decode_purge(record) == EVERYTHING


def test_tags_are_those_of_both_fields() -> None:
    fields = [("cache-tag", "a, b,,c d"), ("etag", "z"), ("surrogate-key", "b e"), ("cache-tag", " f\t")]
    assert tags_of(fields) == ("a", "b", "c", "d", "e", "f")
    tagged = entry(URL, "a", "b")
    assert tagged.tags == ("a", "b")
    assert tagged.size - entry(URL).size == 2 * TAG_BYTES + 2 * (len("cache-tag: a,b\r\n"))
    assert read_place("[::1]:8080").host == "[::1]:8080"


def test_a_purge_drops_what_it_is_meant_for_and_nothing_else() -> None:
    tier = MemoryTier(1 << 20)
    kept = entry("http://edge.test/b", "b")
    for each in (
        entry(URL, "a", "b"),
        entry(f"{URL}{SEPARATOR}device mobile", "a"),
        entry(URL, vary=("lang",), lang="de"),
        entry("http://edge.test/ab", "a"),
        kept,
    ):
        tier.put(each)
    assert tier.purge(url_aim(URL)) == 3
    assert tier.purge(aim_of(Purge("tag", "a"), ())) == 1
    assert tier.purge(aim_of(Purge("tag", "a"), ())) == 0
    assert (tier.count, tier.purged, tier.purges.number) == (1, 4, 3)
    assert tier.purge(aim_of(Purge("prefix", "edge.test/"), ())) == 1
    tier.put(kept)
    assert tier.purge(Aim(everything=True)) == 1
    assert (tier.count, tier.bytes) == (0, 0)


def test_what_was_forgotten_with_all_takes_no_memory_once_others_have_come() -> None:
    tier = MemoryTier(1 << 24)
    held = [entry(f"http://edge.test/{number}", "a") for number in range(3 * LET_GO)]
    list(map(tier.put, held))
    assert tier.purge(Aim(everything=True)) == len(held)
    assert not any(each.is_in for each in held)
    tier.drop(held[0])
    held.clear()
    for number in range(4):
        tier.put(entry(f"{URL}{number}", "late"))
    assert tier.count == 4
    assert not [each for each in gc.get_objects() if isinstance(each, Entry) and each.tags == ("a",)]


def test_of_what_is_gone_no_tag_is_remembered() -> None:
    tier = MemoryTier(20 * entry(URL, "a").size)
    for number in range(100):
        tier.put(entry(f"http://edge.test/{number}", "all", f"t{number}"))
    before = tier.count
    tier.put(entry("http://edge.test/99", "other"))
    assert tier.purge(aim_of(Purge("tag", "t99"), ())) == 0
    assert tier.purge(aim_of(Purge("tag", "t1"), ())) == 0
    assert tier.purge(aim_of(Purge("tag", "all"), ())) == before - 1
    assert [each.key for each in tier.of_url("http://edge.test/99")] == ["http://edge.test/99"]


def test_a_soft_purge_leaves_what_may_stand_in_for_an_origin_that_fails() -> None:
    tier = MemoryTier(1 << 20)
    tier.put(entry(URL))
    assert tier.purge(aim_of(Purge("url", URL, soft=True), (PLAIN,))) == 1
    (left,) = tier.of_url(URL)
    assert (left.stored.fresh_until_s, left.stored.revalidate_until_s, left.stored.error_until_s) == (0, 0, 120)


def test_a_soft_purge_of_all_is_heard_of_by_each_when_it_is_looked_at_and_not_by_what_comes_later() -> None:
    tier = MemoryTier(1 << 20)
    older, other, newer = (
        entry(URL, vary=("lang",), lang="en"),
        entry(f"{URL}/2"),
        entry(URL, vary=("lang",), lang="de"),
    )
    tier.put(older)
    tier.put(other)
    assert tier.purge(aim_of(Purge("all", soft=True), ())) == 2
    assert tier.purged == 2
    tier.put(newer)
    for each, fresh in ((older, False), (newer, True), (other, False)):
        assert tier.get(each.key) is not None
        assert bool(each.stored.fresh_until_s) is fresh
    assert tier.purge(aim_of(Purge("all", soft=True), ())) == 3
    assert [found.stored.fresh_until_s for found in tier.of_url(URL)] == [0, 0]


def test_the_log_says_what_was_purged_since_and_of_the_long_ago_that_all_was() -> None:
    log = PurgeLog()
    log.note(url_aim(URL))
    since = log.number
    assert not log.hits(since, URL, ())
    log.note(aim_of(Purge("tag", "a", soft=True), ()))
    assert not log.hits(since, URL, ("b",))
    assert log.hits(since, URL, ("b", "a"))
    assert log.hits(since, URL), "its tags are not known yet"
    assert not log.hits(since, URL, ("a",), hard=True)
    assert log.hits(0, URL, (), hard=True)
    for _ in range(REMEMBERED_MOST - 1):
        log.note(aim_of(Purge("tag", "b"), ()))
    assert not log.hits(since, URL, ())
    assert log.hits(since - 1, URL, ())
