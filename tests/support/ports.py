"""Ports for processes that must listen where they did before they were killed."""

import os
import socket

FIRST, LAST = 20_000, 32_000
"""Below what the kernel gives to outgoing connections."""
STRIDE = 50


def free_base_port(count: int) -> int:
    """The first of `count` consecutive ports that nobody listens on. Parallel runs begin at different places."""
    assert count <= STRIDE
    places = range(FIRST, LAST, STRIDE)
    start = os.getpid() % len(places)
    for base in (*places[start:], *places[:start]):
        if all(_is_free(port) for port in range(base, base + count)):
            return base
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
