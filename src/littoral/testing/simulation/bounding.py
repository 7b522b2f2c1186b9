"""What bounds the streams of a simulated node, and what it does not send up any more."""

from littoral.core.lanes import Lane
from littoral.core.resources.model import SpillPlace, Storage, StreamBudget, Ttl
from littoral.testing.simulation.plan import PlannedNode

RAW = "raw"
"""Path of the stream that clients pour records into, at every node."""
RAW_LANE: Lane = "bulk"
"""No other stream is in it: a TTL of the lane is one of these streams."""
SPILL_BYTES = "64MiB"
"""Of the second place: more than comes to any node."""


def storage_of(planned: PlannedNode) -> Storage:
    """The budget of its raw streams; where a node spills, of all its streams, for nothing is lost by that."""
    if not planned.policy:
        return Storage()
    streams = ["*"] if planned.policy == "spill" else [f"*/{RAW}"]
    budget = StreamBudget(streams=streams, bytes=str(planned.budget_bytes), policy=planned.policy)
    place = SpillPlace(directory="/mnt/slow", bytes=SPILL_BYTES) if planned.policy == "spill" else None
    return Storage(streams=[budget], spill=place)


def ttl_of(planned: PlannedNode) -> Ttl:
    """How old a record of its raw streams may be and still be sent."""
    return Ttl(bulk=f"{planned.ttl_s}s" if planned.ttl_s else None)
