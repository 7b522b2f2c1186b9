"""Lanes: the priority classes of the uplink.

`control` and `alerts` are served first, in this order, and have a sender of their own. The others share what is left of
the link by weight: a lane that has much to send gets its share and no more, what a lane does not use goes to the others,
and none that has something to send waits for another to be empty.
"""

from typing import Literal

Lane = Literal["control", "alerts", "state", "telemetry", "bulk"]

LANES: tuple[Lane, ...] = ("control", "alerts", "state", "telemetry", "bulk")
"""Most urgent first."""
URGENT: tuple[Lane, ...] = ("control", "alerts")
"""Each is served only while no earlier one has anything to send."""
WEIGHTS: dict[Lane, int] = {"state": 8, "telemetry": 4, "bulk": 1}
"""Of the lanes that share. What a node is (`state`: key-value, status) is small and soon out of date, so it may have more
than half; what it measured makes up nearly all that is sent, and has four times what `bulk` has, which nobody waits for
but which has to arrive: a thirteenth of a link of 1 MiB/s is 6.5 GiB a day."""
SHARED: tuple[Lane, ...] = tuple(WEIGHTS)
