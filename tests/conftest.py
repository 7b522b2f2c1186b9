"""What every test gets: a printed seed, and no way to the outside network."""

import gc
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import hypothesis
import pytest

SEED_VARIABLE = "LITTORAL_TEST_SEED"
SEED = pytest.StashKey[int]()
TESTS = Path(__file__).parent
PLACES = {"e2e": "wait", "sim": "compute"}
"""What is long, by the folder it is in."""

# Deadlines would fail a slow machine, not a slow function. A failure prints what repeats it.
hypothesis.settings.register_profile("littoral", deadline=None, print_blob=True)
hypothesis.settings.load_profile("littoral")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One seed for the run: Hypothesis and every simulation draw from it."""
    # A shell without job control starts what it puts into the background deaf to it, and the commands that tests
    # interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # So would they that `nohup` protects us from. What is handled here is not ignored there.
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    # In the environment, so that all processes of the run draw from the same.
    config.stash[SEED] = int(os.environ.setdefault(SEED_VARIABLE, str(int.from_bytes(os.urandom(4)))))
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = config.stash[SEED]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """There is no garbage among what is loaded, neither now nor later: each look at all of it would take a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which processes that test together begin the files."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    items[:] = [item for path in begun_in_order(files) for item in files[path]]


def begun_in_order(files: Iterable[Path]) -> list[Path]:
    """First those that take long, and the many short ones at the end, where none is waited for.

    Of the long ones, those whose tests start processes and wait for them, and those that compute by themselves: one of
    these beside two of the others keeps the cores busy, and none of the others waits for a core for long.
    """
    kinds: dict[str, list[Path]] = {"wait": [], "compute": [], "short": []}
    for path in files:
        place = path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""
        kinds[PLACES.get(place, "short")].append(path)
    waiting, computing = kinds["wait"], iter(kinds["compute"])
    order: list[Path] = []
    for number, path in enumerate(waiting, 1):
        order.append(path)
        if number % 2 == 0:
            order += islice(computing, 1)
    return [*order, *computing, *kinds["short"]]


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
