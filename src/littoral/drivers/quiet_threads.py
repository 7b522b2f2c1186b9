"""Threads for work that anybody can ask for: they run when the event loop has nothing to do."""

import os
import threading
from concurrent.futures import Executor, ThreadPoolExecutor

LESS_URGENT = 10
"""Of Linux's 20 steps: beside the event loop such a thread gets a tenth of a core, and all of one that is idle."""


def quiet_threads(most: int, name: str) -> Executor:
    """So many at most. They are made when there is work, and end with the process."""
    return ThreadPoolExecutor(most, name, _step_back)


def _step_back() -> None:
    # On Linux each thread has a priority of its own.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LESS_URGENT)
