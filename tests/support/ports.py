"""Ports for processes that must listen where they did before they were killed, or where a page says that they do.

Nobody else among the tests of this machine gets them, in this process or in another, for as long as this one lives: that a
port is free now says nothing of when a process comes to listen on it.
"""

import socket

FIRST, LAST = 20_000, 28_000
STRIDE = 50
FIRST_HUNDRED, LAST_HUNDRED = 28_000, 32_000
"""Below what the kernel gives to outgoing connections, as the others."""
HUNDRED = 100

_taken: list[int] = []
"""Descriptors that hold what this process has taken; the kernel closes them when it ends."""


def free_base_port(count: int) -> int:
    """The first of `count` consecutive ports that nobody listens on."""
    assert count <= STRIDE
    return _take(range(FIRST, LAST, STRIDE), count)


def free_hundred() -> int:
    """A multiple of 100 from which on nobody listens on a hundred ports."""
    return _take(range(FIRST_HUNDRED, LAST_HUNDRED, HUNDRED), HUNDRED)


def _take(places: range, count: int) -> int:
    for base in places:
        # First the place, then the look: where they are free nobody is about to listen on them.
        if _take_place(base) and all(_is_free(port) for port in range(base, base + count)):
            return base
    raise AssertionError("no free ports")


def _take_place(base: int) -> bool:
    """Whether nobody had it. The kernel lets one process have an abstract name, until that ends, however it does."""
    place = socket.socket(socket.AF_UNIX)
    try:
        place.bind(f"\0littoral-test-port-{base}")
    except OSError:
        place.close()
        return False
    _taken.append(place.detach())
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
