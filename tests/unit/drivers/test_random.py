"""The operating system's random generator."""

from littoral.drivers.random import SystemRandom


def test_bytes_and_floats_are_of_the_size_asked_for():
    random = SystemRandom()
    assert len(random.token_bytes(32)) == 32
    assert random.token_bytes(32) != random.token_bytes(32)
    assert all(2 <= random.uniform(2, 3) <= 3 for _ in range(100))
