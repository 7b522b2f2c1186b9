"""What becomes of answers that are never stored is worked out once for all that say the same."""

from littoral.gateway.cache.plain import PlainAnswers
from littoral.wire.caching.policy import CachePolicy

NO_STORE = ("cache-control", "no-store")


def test_it_is_worked_out_once() -> None:
    plain = PlainAnswers(CachePolicy(name="c"))
    head = ((NO_STORE, ("content-length", "4")), "1.1", 200)
    first = plain[(*head, "uri-miss")]
    assert first is not None
    assert plain[(*head, "uri-miss")] is first
    assert [*first.block.fields, *first.said] == [
        NO_STORE,
        ("via", "1.1 littoral"),
        ("cache-status", 'c; fwd=uri-miss; detail="no-store"'),
    ]
    other = plain[(*head, "vary-miss")]
    assert other is not None
    assert dict(other.said)["cache-status"].startswith("c; fwd=vary-miss;")


def test_secrets_are_not_kept_nor_what_is_to_be_judged_taken_for_plain() -> None:
    plain = PlainAnswers(CachePolicy())
    assert plain[(NO_STORE, ("set-cookie", "a=b")), "1.1", 200, "uri-miss"] is not None
    assert not plain
    assert plain[(("cache-control", "max-age=9"),), "1.1", 200, "uri-miss"] is None


def test_an_age_is_noticed() -> None:
    plain = PlainAnswers(CachePolicy())
    aged = plain[(NO_STORE, ("age", "7")), "1.1", 200, "uri-miss"]
    assert aged is not None
    assert aged.has_age
