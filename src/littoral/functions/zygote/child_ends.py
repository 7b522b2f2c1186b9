"""What a child of the zygote inherits, and what the zygote keeps of it."""

import os
import socket

from littoral.functions.confinement import confine


class Ends:
    """Both ends of the pipes to a child that is about to be forked, and what it serves at."""

    def __init__(self, listener: socket.socket, spec: int, path: str = "", *, is_seen: bool = True) -> None:
        """spec: the descriptor of what it has to know, which is the child's to read. path: where the listener is to be reached. is_seen:
        whether it is there already. Raises OSError."""
        self.path = path
        self.is_seen = is_seen
        self.spec = spec
        self._listener = listener
        self.output, self._child_output = os.pipe()
        try:
            self.ready, self._child_ready = os.pipe()
        except OSError:
            os.close(self.output)
            os.close(self._child_output)
            raise

    @property
    def childs(self) -> tuple[int, confine.Inherited]:
        """The child's: its output, and the others."""
        return self._child_output, confine.Inherited(self._child_ready, self._listener.fileno())

    def close_childs(self) -> None:
        """The child has its own."""
        self._listener.close()
        os.close(self._child_output)
        os.close(self._child_ready)

    def close_ours(self) -> None:
        """There is no child. Another may still be given the spec."""
        os.close(self.output)
        os.close(self.ready)


def hand_over(channel: socket.socket, ends: Ends, message: bytes) -> bool:
    """Give another process what a worker inherits. False if that process is gone, or takes no orders."""
    output, inherited = ends.childs
    try:
        socket.send_fds(channel, [message], [output, *inherited, ends.spec])
    except OSError:
        return False
    return True


def read_spec(descriptor: int) -> bytes:
    """In the child: what it has to know."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
