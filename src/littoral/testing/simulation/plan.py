"""What a run will do, as data: it can be printed, kept as a file, cut down, and done again."""

import msgspec

from littoral.core.resources import Tier
from littoral.core.resources.model import BudgetPolicy


class PlannedNode(msgspec.Struct, frozen=True):
    """One node of the tree."""

    name: str
    tier: Tier
    parent: str = ""
    """Empty: the root."""
    joins_s: float = 0.0
    """When it is first switched on, virtual seconds."""
    bandwidth: int = 0
    """Bytes per second that the link to its parent may carry; 0: all it can."""
    encrypted: bool = False
    """Whether its store has a key from the beginning."""
    policy: BudgetPolicy | None = None
    """What it does at the end of a budget; None: it has none that matters."""
    budget_bytes: int = 0
    """Of each stream that has the budget."""
    ttl_s: int = 0
    """For so long what is poured into streams is worth sending to the parent; 0: for ever."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of work, or one fault."""

    number: int
    """Of this event among all that were drawn: its chance is drawn from it, whatever else was left out."""
    at_s: float
    """When it begins, virtual seconds."""
    kind: str
    """A name in `workload.WORK` or `faults.FAULTS`."""
    target: str
    """The node. For a fault of a link: the child at its lower end."""
    for_s: float = 0.0
    """How long a fault lasts."""
    count: int = 0
    """How many records, writes or points; what it counts is the kind's."""
    amount: float = 0.0
    """How much; its unit is the kind's."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run, whole."""

    seed: int
    hours: float
    """Virtual hours that the run lasts at least."""
    nodes: tuple[PlannedNode, ...]
    """Parents before their children; the first is the root."""
    limits: dict[str, int] = {}
    """Limits of every node that are not the defaults."""
    status_interval: str = "10m"
    link_delay_s: float = 0.0
    """Of every link, one way, without any fault."""
    events: tuple[Event, ...] = ()
    """In the order of their times."""

    @property
    def quiet_s(self) -> float:
        """When the last event is over and nothing more is done to the tree."""
        return max((event.at_s + event.for_s for event in self.events), default=0.0)

    def with_events(self, events: tuple[Event, ...]) -> "Plan":
        """The same tree with other events."""
        return msgspec.structs.replace(self, events=events)


def plan_to_json(plan: Plan) -> bytes:
    """For a file, indented for people."""
    return msgspec.json.format(msgspec.json.encode(plan, order="deterministic"), indent=1) + b"\n"


def plan_of_json(data: bytes) -> Plan:
    """Raises msgspec.DecodeError for what is no plan."""
    return msgspec.json.decode(data, type=Plan)
