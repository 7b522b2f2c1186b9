"""How a hub gives the supervisor listening sockets that it has bound since its start, and says which it needs no more.

The supervisor owns the sockets (docs/adr/0005): whatever process dies, connections wait in them for the next one. A document that
changes may name further ones while the node runs. The hub binds those, for it is the hub that can say what is wrong with an address,
and the supervisor keeps a descriptor of each for the hubs to come. The supervisor has no event loop: it is told by a signal, and finds
messages on a socket that it had before. One message is one socket.
"""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress

import msgspec
from msgspec import Struct

MESSAGE_BYTES_MOST = 4096
SIGNAL = signal.SIGUSR2
OPTION = "--handover-fd"
_AT = "@"


class Handed(Struct, frozen=True):
    """A socket that is the supervisor's from now on, or is nobody's any more."""

    name: str
    """As between the node's processes: see `named_socket`."""
    is_kept: bool


def named_socket(name: str, address: str) -> str:
    """What a socket that was not there at the node's start is called: its name, and the address in the document."""
    return f"{name}{_AT}{address}"


def name_and_address(named: str) -> tuple[str, str | None]:
    """What `named_socket` was given; no address, of a socket that was there at the start."""
    name, at, address = named.partition(_AT)
    return name, address if at else None


def handover_pair() -> tuple[socket.socket, socket.socket]:
    """The hub's end, which it inherits, and the supervisor's."""
    hub, supervisor = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor.setblocking(False)
    hub.set_inheritable(True)
    return hub, supervisor


def hand_over(way: socket.socket, name: str, listening: socket.socket | None) -> None:
    """Tell the supervisor of a socket. listening: None where it is not needed any more. Raises OSError."""
    message = msgspec.json.encode(Handed(name, listening is not None))
    descriptors = [] if listening is None else [listening.fileno()]
    socket.send_fds(way, [message], descriptors, socket.MSG_DONTWAIT)
    os.kill(os.getppid(), SIGNAL)


def handed_over(way: socket.socket) -> Iterator[tuple[str, socket.socket | None]]:
    """The sockets that the supervisor was told of since it looked, by name; None for one that is not needed any more."""
    with suppress(BlockingIOError):
        while True:
            data, descriptors, _, _ = socket.recv_fds(way, MESSAGE_BYTES_MOST, 1)
            handed = msgspec.json.decode(data, type=Handed)
            yield handed.name, socket.socket(fileno=descriptors[0]) if descriptors else None
