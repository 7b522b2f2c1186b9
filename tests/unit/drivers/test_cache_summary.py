from pathlib import Path

from littoral.drivers.cache_summary import BITS, FULL_PART, CacheSummary
from tests.support.disk_cache import DiskEdge, PurgeStream, hit, page, play, running


def test_what_one_process_adds_all_see(tmp_path: Path) -> None:
    one, other = (CacheSummary(tmp_path / "summary") for _ in range(2))
    assert (one.is_new, other.is_new) == (True, False)
    for number in range(1000):
        one.add(f"http://edge.test/{number}")
    assert all(other.may_have(f"http://edge.test/{number}") for number in range(1000))
    assert sum(other.may_have(f"http://edge.test/x{number}") for number in range(1000)) < 5
    for each in (one, other):
        each.close()


def test_a_full_one_says_so_and_is_begun_anew(tmp_path: Path) -> None:
    summary = CacheSummary(tmp_path / "summary")
    assert not summary.is_full
    summary._map[: BITS // 8 // FULL_PART + 1] = b"\xff" * (BITS // 8 // FULL_PART + 1)
    assert summary.is_full
    summary.fill(["http://edge.test/a"])
    assert not summary.is_full
    assert (summary.may_have("http://edge.test/a"), summary.may_have("http://edge.test/b")) == (True, False)
    summary.close()


def test_one_that_is_gone_is_made_of_the_index(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(b"1")), stream) as first:
            await first.ask("/a")
        (tmp_path / "summary").unlink()
        async with running(DiskEdge(tmp_path), stream) as second:
            assert hit(await second.ask("/a"))

    play(scenario)


def test_what_it_does_not_know_is_fetched_once_more_and_found_from_then_on(tmp_path: Path) -> None:
    async def scenario(stream: PurgeStream) -> None:
        async with running(DiskEdge(tmp_path, page(b"1")), stream) as first:
            await first.ask("/a")
        summary = CacheSummary(tmp_path / "summary")
        summary.fill([])  # As a loss of power may leave it.
        summary.close()
        async with running(DiskEdge(tmp_path, page(b"1")), stream) as second:
            assert not hit(await second.ask("/a"))
        async with running(DiskEdge(tmp_path), stream) as third:
            assert hit(await third.ask("/a"))

    play(scenario)
