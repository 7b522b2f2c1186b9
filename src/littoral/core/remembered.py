"""What was worked out from something, kept for when the same comes again."""

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V]):
    """Looked up as in any dict, `known[key]`, and worked out where it is not there. Nobody may change what it gives."""

    def __init__(self, work_out: Callable[[K], V], most: int, is_worth_it: Callable[[K], bool]) -> None:
        """most: how many are kept; one more, and all are forgotten: which of them is asked for again would take longer to
        know than to work them out. is_worth_it: whether one is kept: not what is large, or secret."""
        super().__init__()
        self._work_out = work_out
        self._most = most
        self._is_worth_it = is_worth_it

    def __missing__(self, key: K) -> V:
        value = self._work_out(key)
        if self._is_worth_it(key):
            if len(self) >= self._most:
                self.clear()
            self[key] = value
        return value
