"""Who may do what with which streams. An access list reads like the node's document."""

import pytest

from littoral.core.errors import Forbidden, Unauthenticated
from littoral.core.names import parse_stream_name
from littoral.core.resources.model import ANYONE, StreamAccess
from littoral.streams.access import RIGHTS, AccessList

LIST = AccessList(
    [
        StreamAccess(streams=["n/rooms/*"], read=[ANYONE], append=["ann", "bob"], manage=["ann"]),
        StreamAccess(streams=["n/rooms/secret"], read=["bob"]),
        StreamAccess(streams=["n/log", "n/log-*"], append=[ANYONE]),
        StreamAccess(streams=["*"], manage=["root"]),
    ]
)


@pytest.mark.parametrize(
    ("client", "method", "stream", "allowed"),
    [
        (None, "GET", "n/rooms/1", True),
        (None, "HEAD", "n/rooms/1", True),
        (None, "POST", "n/rooms/1", False),
        (None, "PUT", "n/rooms/1", False),
        (None, "DELETE", "n/rooms/1", False),
        ("bob", "GET", "n/rooms/1", True),
        ("bob", "POST", "n/rooms/1", True),
        ("bob", "PUT", "n/rooms/1", False),
        ("ann", "POST", "n/rooms/1", True),
        ("ann", "PUT", "n/rooms/1", True),
        ("ann", "DELETE", "n/rooms/1", True),
        ("ann", "GET", "n/rooms/1", True),
        # An entry for some of the streams takes nothing away from what another gives.
        (None, "GET", "n/rooms/secret", True),
        # A pattern matches from the beginning, and without a "*" up to the end.
        ("ann", "GET", "n/rooms", False),
        ("ann", "GET", "m/n/rooms/1", False),
        (None, "POST", "n/log", True),
        (None, "POST", "n/log/1", False),
        (None, "POST", "n/log-1/2", True),
        # Each right is by itself.
        (None, "GET", "n/log", False),
        ("root", "DELETE", "anywhere/at-all", True),
        ("root", "POST", "anywhere/at-all", False),
        # Whatever else there may be is read, at most: the server refuses it then.
        (None, "PATCH", "n/rooms/1", True),
        (None, "PATCH", "n/log", False),
    ],
)
def test_what_is_allowed(client: str | None, method: str, stream: str, allowed: bool) -> None:
    name = parse_stream_name(stream)
    assert LIST.allows(client, RIGHTS.get(method, "read"), name) is allowed
    if allowed:
        LIST.check(client, method, name)
        return
    with pytest.raises(Unauthenticated if client is None else Forbidden):
        LIST.check(client, method, name)


@pytest.mark.parametrize("method", RIGHTS)
def test_without_an_entry_nobody_may_anything(method: str) -> None:
    for entries in ([], [StreamAccess(streams=["*"])]):
        with pytest.raises(Unauthenticated):
            AccessList(entries).check(None, method, parse_stream_name("n/a"))
        with pytest.raises(Forbidden):
            AccessList(entries).check("ann", method, parse_stream_name("n/a"))


def test_a_client_does_not_become_anyone_by_its_name_alone() -> None:
    only_ann = AccessList([StreamAccess(streams=["*"], read=["ann"])])
    for client in ("an", "ann2", ANYONE):
        with pytest.raises(Forbidden):
            only_ann.check(client, "GET", parse_stream_name("n/a"))


def test_a_refusal_says_who_what_and_where_it_is_allowed() -> None:
    with pytest.raises(Forbidden) as refused:
        LIST.check("bob", "PUT", parse_stream_name("n/rooms/1"))
    assert str(refused.value) == (
        "cannot PUT n/rooms/1: client bob may not manage it."
        " Let it manage the stream in spec.streams.access of the node"
    )
    with pytest.raises(Unauthenticated) as unknown:
        LIST.check(None, "POST", parse_stream_name("n/rooms/1"))
    assert "no client was named, and not everybody may" in str(unknown.value)
