from littoral.gateway.cache.entry import OVERHEAD_BYTES, Entry
from littoral.gateway.cache.key import SEPARATOR
from littoral.gateway.cache.memory import MemoryTier
from littoral.wire.caching.selection import variant_key
from littoral.wire.caching.storing import Stored


def entry(key: str, body: bytes = b"x", vary: tuple[str, ...] = (), **asked: str) -> Entry:
    stored = Stored(200, (), 0.0, 0.0, 60.0, 0.0, 0.0, vary)
    return Entry(key, variant_key(vary, asked), stored, (body,))


def test_variants_of_a_key_lie_beside_each_other() -> None:
    tier = MemoryTier(1 << 20)
    english, german = (entry("k", b"x", ("lang",), lang=lang) for lang in ("en", "de"))
    plain = entry("k")
    for each in (english, german):
        tier.put(each)
    shelf = tier.get("k")
    assert shelf is not None
    assert (shelf.find({"lang": "de"}), shelf.find({"lang": "fr"}), shelf.only) == (german, None, None)
    tier.put(plain)  # It does not vary any more: what came last goes first.
    assert shelf.find({"lang": "de"}) is plain
    tier.drop(plain)
    assert shelf.find({"lang": "de"}) is german
    assert tier.count == 2


def test_what_replaces_another_is_counted_once() -> None:
    tier = MemoryTier(1 << 20)
    first, second = entry("k", b"x" * 10), entry("k", b"x" * 20)
    tier.put(first)
    tier.put(second)
    shelf = tier.get("k")
    assert shelf is not None
    assert (shelf.only, first.is_in, tier.count, tier.bytes) == (second, False, 1, second.size)
    tier.drop(first)
    assert tier.count == 1
    tier.drop(second)
    assert (tier.get("k"), tier.bytes) == (None, 0)


def test_a_url_is_dropped_with_all_that_begins_with_it() -> None:
    tier = MemoryTier(1 << 20)
    url = "http://edge.test/a"
    for key in (url, f"{url}{SEPARATOR}device mobile", f"{url}{SEPARATOR}device tablet", f"{url}b"):
        tier.put(entry(key))
    tier.put(entry(url, b"x", ("lang",), lang="de"))
    assert tier.drop_url(url) == 4
    assert (tier.count, tier.drop_url(url)) == (1, 0)
    assert tier.get(f"{url}b") is not None


def test_the_bound_holds_and_what_is_larger_is_not_stored() -> None:
    tier = MemoryTier(10 * (OVERHEAD_BYTES + 1000))
    for number in range(100):
        tier.put(entry(f"k{number}", b"x" * 900))
    assert tier.bytes <= 10 * (OVERHEAD_BYTES + 1000)
    assert (tier.count, tier.evicted) == (10, 90)
    tier.put(entry("large", b"x" * 100_000))
    assert tier.get("large") is None
