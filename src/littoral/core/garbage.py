"""What garbage collection may look at."""

import gc


def keep_for_life() -> None:
    """Leave what the process holds now out of every collection to come. Modules, code and configuration live as long as it
    does, and to look at all of them takes tens of milliseconds, in which it answers nobody; in a process that was forked
    from it, it would copy their pages too."""
    gc.collect()
    gc.freeze()
