"""The environments of a zygote (`littoral.functions.zygote.preload`): children of it that fork workers, of one app each."""

import contextlib
import os
import selectors
import signal
import socket
import struct
from collections.abc import Container, Iterable
from functools import partial
from typing import Protocol

import msgspec

from littoral.functions.confinement.confine import Confinement, take_descriptors
from littoral.functions.messages import PRELOAD, Preload, Start
from littoral.functions.worker import worker
from littoral.functions.zygote import preload
from littoral.functions.zygote.child_ends import Ends, hand_over
from littoral.functions.zygote.child_process import be_child
from littoral.functions.zygote.zygote_child import Child

_CREDENTIALS = struct.Struct("3i")
CREDENTIALS_SPACE = socket.CMSG_SPACE(_CREDENTIALS.size)
"""Nothing else that is sent along is taken."""


class Parent(Protocol):
    """Whose children environments are, and what they fork; the zygote."""

    def start(self, start: Start, spec: int) -> None:
        """Have a worker. spec: the descriptor of what it has to know."""
        ...

    def kill(self, child: Child) -> None:
        """End it at once."""
        ...

    def cannot_start(self, start: Start, error: Exception) -> None:
        """Report that there is no such child."""
        ...

    def fork(self, start: Start, ends: Ends, be: preload.Be) -> Child | None:
        """A new child; None if there is none to be had, which is reported."""
        ...

    def adopt(self, start: Start, pid: int, ends: Ends) -> Child:
        """See to a child that was forked. Raises ProcessLookupError."""
        ...

    def take_user(self, app: str) -> int | None:
        """For one more child of the app. Raises OverflowError."""
        ...

    def leave_user(self, app: str) -> None:
        """A child that took it is none any more."""
        ...


class Environments:
    """Those of one zygote."""

    def __init__(
        self, parent: Parent, selector: selectors.BaseSelector, confinement: Confinement, known: Container[int]
    ) -> None:
        """known: the numbers of all children of the parent that are workers or environments."""
        self._known = known
        self._parent = parent
        self._selector = selector
        self._confinement = confinement
        self._environments: dict[tuple[str, str], Child] = {}
        """By app and revision."""

    def begin(self, order: Preload, spec: int) -> None:
        """Have one. spec: the descriptor of what it has to know."""
        start = Start(order.app, PRELOAD, order.revision, b"")
        if not self._confinement.bears_environments:
            os.close(spec)
            self._parent.cannot_start(
                start, OSError("without users of their own, workers are not forked by environments")
            )
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            user = self._parent.take_user(start.app)
            ends = Ends(theirs, spec)
        except (OSError, OverflowError) as error:
            os.close(spec)
            ours.close()
            theirs.close()
            self._parent.cannot_start(start, error)
            return
        confinement = self._confinement
        be_worker = partial(be_child, take=take_descriptors, enter=confinement.enter_again, run=worker.run, tells=True)
        run = partial(preload.be_environment, be=be_worker)
        enter = partial(confinement.enter, user=user, forks=True)
        take = partial(take_descriptors, kept=confinement.descriptors)
        child = self._parent.fork(start, ends, partial(be_child, take=take, enter=enter, run=run, listens=False))
        if child is None:
            ours.close()
            return
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        child.channel = ours
        self._environments[child.app, child.revision] = child
        self._selector.register(ours, selectors.EVENT_READ, lambda events: self._handed_over(child))

    def order(self, start: Start, ends: Ends) -> bool:
        """Have a worker forked there. False if its app has no environment that takes orders."""
        environment = self._environments.get((start.app, start.revision))
        if environment is None or not environment.is_ready:
            return False
        assert environment.channel is not None
        if not hand_over(environment.channel, ends, preload.FORK):
            return False
        ends.close_childs()
        environment.ordered.append((start, ends))
        return True

    def _handed_over(self, environment: Child) -> None:
        """A worker that an environment has forked says so, or the environment is about to end.

        What packages do there is not to be believed: the kernel says who it was, and that is adopted only if it is the zygote's child,
        runs as the environment does, and is known as nothing else yet."""
        assert environment.channel is not None
        try:
            said, ancillary, _, _ = environment.channel.recvmsg(len(preload.FORKED), CREDENTIALS_SPACE)
        except OSError:
            said, ancillary = b"", []
        if not said:
            self.close(environment)
            return
        if not environment.ordered:
            self._refuse(environment)
            return
        if said != preload.FORKED:
            self._start_after_all(*environment.ordered.popleft())
            return
        try:
            pid = int(_CREDENTIALS.unpack(ancillary[0][2])[0])
            if pid in self._known or _parent_and_user(pid) != _parent_and_user(environment.pid):
                self._refuse(environment)
                return
            start, ends = environment.ordered[0]
            self._parent.adopt(start, pid, ends).environment = environment
        except (FileNotFoundError, ProcessLookupError):
            # It has ended, and was taken for a stranger.
            environment.has_learned = True
            self._start_after_all(*environment.ordered.popleft())
            return
        environment.ordered.popleft()

    def _refuse(self, environment: Child) -> None:
        """It says what cannot be."""
        self._parent.kill(environment)
        self.close(environment)

    @staticmethod
    def teach(environment: Child | None, imported: str) -> None:
        """Have an environment import what its first worker did, before it served: the next one need not."""
        if environment is None or environment.channel is None or environment.has_learned:
            return
        environment.has_learned = True
        if imported:
            with contextlib.suppress(OSError):
                environment.channel.send(preload.LOAD + imported.encode())

    @staticmethod
    def end_strangers(child: Child, known: Iterable[Child]) -> None:
        """Where this was the last of an environment and its workers: end what the app's packages have forked besides, which is of
        the environment's process group. Nothing of it may run when the app's user is another's."""
        environment = child.environment or child
        if environment.slot == PRELOAD and not any(environment in (each, each.environment) for each in known):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(environment.pid, signal.SIGKILL)

    def close(self, environment: Child) -> None:
        """It has ended, if it is one. What it was ordered to fork, and has not, the zygote forks itself."""
        if environment.channel is None:
            return
        self._selector.unregister(environment.channel)
        environment.channel.close()
        environment.channel = None
        if self._environments.get((environment.app, environment.revision)) is environment:
            del self._environments[environment.app, environment.revision]
        while environment.ordered:
            self._start_after_all(*environment.ordered.popleft())

    def _start_after_all(self, start: Start, ends: Ends) -> None:
        ends.close_ours()
        self._parent.leave_user(start.app)
        self._parent.start(msgspec.structs.replace(start, preloaded=False), ends.spec)


def _parent_and_user(pid: int) -> tuple[bytes, bytes]:
    """Of a process. Raises FileNotFoundError, ProcessLookupError."""
    with open(f"/proc/{pid}/status", "rb") as status:
        fields = dict(line.split(b":", 1) for line in status if line.startswith((b"PPid:", b"Uid:")))
    return fields[b"PPid"], fields[b"Uid"]
