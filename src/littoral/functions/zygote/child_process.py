"""What a process does that the zygote has forked, from the fork on until it exits."""

import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import msgspec

from littoral.functions.confinement import confine
from littoral.functions.confinement.confine import CannotConfine, Confinement
from littoral.functions.messages import EXIT_ORPHANED, WorkerSpec
from littoral.functions.worker import worker
from littoral.functions.worker.rehearsal import SPEC, rehearse
from littoral.functions.zygote import preload
from littoral.functions.zygote.child_ends import read_spec

PREPARED = b"+"
"""What a spare process says when it is prepared."""
ORDER_BYTES = 32
"""The longest of what it is told then: the number of a user."""

Take = Callable[[int, confine.Inherited], confine.Inherited]
_decode_spec = msgspec.msgpack.Decoder(WorkerSpec).decode


def check_threads() -> None:
    """To be called before each fork."""
    threads = preload.thread_count()
    # A lock that another thread holds would stay locked in the child for ever.
    assert threads == 1, f"the zygote has {threads} threads; fork is not safe"


def be_spare(zygote: int, channel: int, confinement: Confinement, aside: str) -> NoReturn:
    """Prepare to be a worker, say so, and wait to be told which one. aside: a directory where no app finds a socket."""
    try:
        if not confine.die_with_parent(zygote):
            os._exit(EXIT_ORPHANED)
        kept = confine.moved_high(channel)
        # Nobody's, until there are those of a worker.
        nowhere = confine.Inherited(*(os.open(os.devnull, os.O_RDONLY) for _ in confine.Inherited._fields))
        confine.take_descriptors(os.dup(2), nowhere, (kept, *confinement.descriptors))
        confinement.prepare(SPEC)
        loop = rehearse(aside)
        with socket.socket(fileno=kept) as orders:
            orders.send(PREPARED)
            message, descriptors, _, _ = socket.recv_fds(orders, ORDER_BYTES, preload.DESCRIPTORS)
        if message:
            output, ready, listener, spec = descriptors
            be_child(
                spec,
                zygote,
                output,
                confine.Inherited(ready, listener),
                take=confine.exchange_descriptors,
                enter=partial(confinement.enter, user=int(message) or None),
                run=partial(worker.run, new_loop=lambda: loop),
            )
    except Exception:  # noqa: BLE001 - as below; workers are forked without it then
        traceback.print_exc()
    finally:
        os._exit(1)


def _listen(descriptor: int) -> None:
    listener = socket.socket(fileno=descriptor)
    listener.listen()
    listener.detach()


def be_child(
    spec_descriptor: int,
    zygote: int,
    output: int,
    given: confine.Inherited,
    *,
    take: Take,
    enter: Callable[[WorkerSpec], WorkerSpec],
    run: Callable[[WorkerSpec, int, Callable[[str], None]], int],
    listens: bool = True,
    tells: bool = False,
) -> NoReturn:
    """What the forked child does, until it exits. The zygote's objects are left alone: their descriptors are closed
    here, and this frame never returns to them. take: has it hold what it is given, and nothing else that it does not need to `enter`,
    which confines it. tells: says what it has imported, once it is ready."""
    code = 1
    try:
        if not confine.die_with_parent(zygote):
            os._exit(EXIT_ORPHANED)
        if listens:
            # Before anything else: gateways connect meanwhile, and are told by the kernel that it is this process they have connected to.
            _listen(given.listener)
        spec_bytes = read_spec(spec_descriptor)
        os.close(spec_descriptor)
        inherited = take(output, given)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        spec = _decode_spec(spec_bytes)
        sys.argv = [spec.main]

        known = frozenset(sys.modules) if tells else None

        def report(failure: str) -> None:
            text = failure.replace("\n", " ") or "ready"
            if known is not None and not failure:
                text += preload.imported_since(known, spec.directory)
            with open(inherited.ready, "wb") as pipe:
                pipe.write(text.encode())

        try:
            spec = enter(spec)
        except (OSError, CannotConfine) as error:
            report(f"cannot set up its worker: {error}")
            raise
        code = run(spec, inherited.listener, report)
    except BaseException:  # noqa: BLE001 - the last frame of this process: nothing may unwind into the zygote's loop
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
