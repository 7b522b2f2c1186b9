"""Running a command for what it prints, within bounds of time and output."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence

from littoral.core.errors import LittoralError, StartupError, TimedOut, TooLarge

PIECE_BYTES = 4096


def output_of(command: Sequence[str], timeout_s: float, most_bytes: int) -> bytes:
    """What the command prints, which is run without a shell. What it says on stderr goes where ours does.

    Raises, naming the program and none of its output: StartupError if it cannot be started or fails, TimedOut, TooLarge.
    """
    program = command[0]
    try:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise StartupError("run", program, error.strerror or str(error), "Check the command, and its path") from error
    try:
        output = _read(process, program, time.monotonic() + timeout_s, most_bytes)
    finally:
        _kill(process)
    if process.returncode != 0:
        raise StartupError("run", program, f"it ended with status {process.returncode}", "See what it said on stderr")
    return output


def _read(process: "subprocess.Popen[bytes]", program: str, deadline_s: float, most_bytes: int) -> bytes:
    assert process.stdout is not None
    output = b""
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                raise _late(program)
            piece = os.read(pipe.fileno(), PIECE_BYTES)
            if not piece:
                break
            output += piece
            if len(output) > most_bytes:
                raise TooLarge("run", program, f"it printed more than {most_bytes} bytes")
    try:
        process.wait(max(0.0, deadline_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _late(program) from None
    return output


def _late(program: str) -> LittoralError:
    return TimedOut("run", program, "it did not end in time", "Try it by hand")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End it, and whatever it started, if it has not ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
