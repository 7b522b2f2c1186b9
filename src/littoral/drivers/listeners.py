"""Listening sockets: bound once, before anything else starts, and handed to child processes as descriptors."""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

from littoral.core.errors import StartupError

BACKLOG = 1024
"""Connections that may wait for their process while it restarts."""
UNIX_PATH_BYTES = 107
"""sun_path of Linux, without the closing zero."""

_LISTENING = "0A"


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port". Raises StartupError."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) <= 65_535):
        raise StartupError("listen on", address, "this is no address", 'Write "host:port"; port 0 takes a free one')
    return host.strip("[]"), int(port)


def listen_tcp(address: str) -> socket.socket:
    """A listening, inheritable, non-blocking socket on "host:port".

    Raises: StartupError that names the address, who holds it where that can be known, and what to do.
    """
    host, port = parse_address(address)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise StartupError(
            "listen on", address, f"the host is unknown: {error.strerror}", "Use an address of this machine"
        ) from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it, connections of a node that has just ended would keep the next one from starting for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(target)
        return _opened(listener)
    except OSError as error:
        listener.close()
        raise _bind_error(address, port, error) from error


def listen_unix(path: Path) -> socket.socket:
    """A listening, inheritable, non-blocking Unix socket that only this user can connect to.

    A socket file that nobody answers at is left over from a crash, and is replaced. Raises StartupError.
    """
    if len(os.fsencode(path)) > UNIX_PATH_BYTES:
        raise StartupError(
            "listen on", str(path), f"the path is longer than {UNIX_PATH_BYTES} bytes", "Use a shorter data directory"
        )
    if path.is_socket():
        _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On Linux the mode of the descriptor at bind becomes the mode of the file, less the umask.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        return _opened(listener)
    except OSError as error:
        listener.close()
        raise StartupError("listen on", str(path), error.strerror or str(error), "Check the data directory") from error


def _opened(listener: socket.socket) -> socket.socket:
    listener.listen(BACKLOG)
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise StartupError(
        "listen on", str(path), "another process answers there", "Stop the node that uses this data directory"
    )


def _bind_error(address: str, port: int, error: OSError) -> StartupError:
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(port)
        cause = f"the port is in use by {holder}" if holder else "the port is in use"
        return StartupError("listen on", address, cause, "Stop it, or give this listener another port")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StartupError(
            "listen on",
            address,
            "this user may not use the port",
            "Use a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return StartupError("listen on", address, "this machine has no such address", "`ip address` lists them")
    return StartupError("listen on", address, error.strerror or str(error))


def port_holder(port: int) -> str:
    """The process that listens on a TCP port, as "name (pid 123)"; empty where /proc does not tell this user."""
    links = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not links:
        return ""
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in links:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    """Inodes of listening sockets on `port`: fields 1, 3 and 9 of proc_net_tcp."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes


def adopt_listener(descriptor: int) -> socket.socket:
    """A listening socket that another process bound and passed on."""
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    return listener
