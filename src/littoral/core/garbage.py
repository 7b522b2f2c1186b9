"""What garbage collection may look at."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def keep_for_life() -> None:
    """Leave what the process holds now out of every collection to come. Modules, code and configuration live as long as it
    does, and to look at all of them takes tens of milliseconds, in which it answers nobody; in a process that was forked
    from it, it would copy their pages too."""
    gc.collect()
    gc.freeze()


@contextmanager
def uncollected() -> Iterator[None]:
    """Without collections, where very many objects are made that all stay: each time there are a quarter more of them, all would
    be looked at again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
