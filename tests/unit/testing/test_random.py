"""Chance that repeats."""

import apsw

from littoral.testing.random import SeededRandom, seeded_sqlite


def test_a_seed_gives_the_same_draws():
    assert SeededRandom(5).token_bytes(16) == SeededRandom(5).token_bytes(16)
    assert SeededRandom(5).uniform(0, 1) != SeededRandom(6).uniform(0, 1)


def test_forks_depend_on_seed_and_name_only():
    first, second = SeededRandom(5), SeededRandom(5)
    second.token_bytes(100)
    assert first.fork("net").token_bytes(8) == second.fork("net").token_bytes(8)
    assert first.fork("net").token_bytes(8) != first.fork("disk").token_bytes(8)
    # Written down, because a change of Python's generator would silently change every kept seed.
    assert SeededRandom(7).fork("net").token_bytes(4).hex() == "d5519c3f"


def test_chance_is_within_its_bounds():
    random = SeededRandom(1)
    assert not any(random.chance(0) for _ in range(100))
    assert all(random.chance(1) for _ in range(100))


def drawn_by_sqlite(seed: int) -> bytes:
    with seeded_sqlite(SeededRandom(seed)):
        return apsw.randomness(16)


def test_sqlite_draws_from_the_seed_and_only_for_so_long():
    vfs_names = apsw.vfs_names()
    assert drawn_by_sqlite(1) == drawn_by_sqlite(1)
    assert drawn_by_sqlite(1) != drawn_by_sqlite(2)
    with seeded_sqlite(SeededRandom(1)):
        within = apsw.randomness(16)
        after_it = apsw.randomness(16)
    assert within == drawn_by_sqlite(1)
    assert apsw.randomness(16) != after_it
    assert apsw.vfs_names() == vfs_names
