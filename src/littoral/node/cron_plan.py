"""When a cron trigger runs, decided without I/O.

    due since the last run           on time          not
    -------------------------------  ---------------  -----------------------------------------------
    nothing                          wait             wait
    missed: skip                     the latest       nothing
    missed: once                     the latest       the latest
    missed: all-bounded              the latest ones  the latest ones, up to a bound, the oldest first

"On time" is within ON_TIME_MS of when it was due: else the node was off, asleep or held up, or its clock was set forward.
A clock that is set back lets nothing run twice, for the last run is in the future then; but where it is more than BACK_MS
ahead the clock was wrong when that was noted, and the trigger begins anew.
"""

from typing import Literal

from msgspec import Struct

from littoral.core.cron import MINUTE_MS, Cron

Missed = Literal["skip", "once", "all-bounded"]
ON_TIME_MS = MINUTE_MS
BACK_MS = 60 * MINUTE_MS
"""More than a clock is set back in the ordinary course of things: a change to winter time, wrongly made to UTC."""


class Plan(Struct, frozen=True):
    """What is to be done now."""

    runs: list[int]
    """When they were due, ms since 1970, the oldest first."""
    upto_ms: int
    """Nothing that was due up to then is to be run, but for `runs`."""


def plan(cron: Cron, missed: Missed, upto_ms: int, now_ms: int, most: int) -> Plan:
    """What to run of a trigger for which all up to `upto_ms` has been done. most: runs made up for."""
    if upto_ms - now_ms > BACK_MS:
        return Plan([], now_ms)
    latest = cron.latest_until(now_ms)
    if latest is None or latest <= upto_ms:
        return Plan([], upto_ms)
    if missed == "all-bounded":
        runs = [latest]
        while len(runs) < most and (before := cron.latest_until(runs[-1] - 1)) is not None and before > upto_ms:
            runs.append(before)
        return Plan(runs[::-1], latest)
    if missed == "skip" and now_ms - latest >= ON_TIME_MS:
        return Plan([], latest)
    return Plan([latest], latest)
