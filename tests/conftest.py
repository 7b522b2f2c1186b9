"""What every test gets: a printed seed, and no way to the outside network."""

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

SEED_VARIABLE = "LITTORAL_TEST_SEED"
SEED = pytest.StashKey[int]()

# Deadlines would fail a slow machine, not a slow function. A failure prints what repeats it.
hypothesis.settings.register_profile("littoral", deadline=None, print_blob=True)
hypothesis.settings.load_profile("littoral")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One seed for the run: Hypothesis and every simulation draw from it."""
    # A shell without job control starts what it puts into the background deaf to it, and the commands that tests
    # interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # In the environment, so that all processes of the run draw from the same.
    config.stash[SEED] = int(os.environ.setdefault(SEED_VARIABLE, str(int.from_bytes(os.urandom(4)))))
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = config.stash[SEED]


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.stash[SEED]} ({SEED_VARIABLE}={config.stash[SEED]} repeats this run)"


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """The seed of this run; simulations take it, or a seed derived from it."""
    return pytestconfig.stash[SEED]


class OutsideNetwork(Exception):
    """A test, or what it tests, wanted to leave this machine."""


def _assert_stays_here(host: object) -> None:
    if host in (None, "", b"", "localhost", b"localhost"):
        return
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise OutsideNetwork(f"tests do not look up names, but {text!r} was asked for") from None
    if not (address.is_loopback or address.is_unspecified):
        raise OutsideNetwork(f"tests stay on this machine, but {text} was addressed")


@pytest.fixture(scope="session", autouse=True)
def no_outside_network() -> Iterator[None]:
    """Sockets of this process connect and send to the loopback and to Unix sockets only, and no name is looked up."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        look_up = socket.getaddrinfo

        def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
            _assert_stays_here(host)
            return look_up(host, *args, **kwargs)

        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:
        # The address is the last argument of all three.
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _assert_stays_here(args[-1][0])
        return method(self, *args)

    return guarded
