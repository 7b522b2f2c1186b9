"""What a process beside the hub says of itself."""

import sys
import traceback


def log(text: str) -> None:
    """To standard error, which the supervisor collects."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


def log_fault(error: BaseException) -> None:
    """A fault of ours: the process goes on, and the log says what happened."""
    log("".join(traceback.format_exception(error)))
