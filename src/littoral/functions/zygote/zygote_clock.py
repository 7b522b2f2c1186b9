"""The time of the zygote, which has no event loop but its own."""

import time


def monotonic_s() -> float:
    """Seconds of the monotonic clock."""
    return time.monotonic()  # noqa: TID251 - this process has no event loop but its own
