"""How a pool of origins is used. Times in seconds, shares in [0, 1]."""

from typing import Literal

from msgspec import Struct

from littoral.gateway.origins.transport import Endpoint, OriginTimeouts

Policy = Literal["round-robin", "least-request", "consistent-hash"]


class Target(Struct, frozen=True):
    """One server of a pool."""

    endpoint: Endpoint
    weight: int = 1
    """Of two targets the one with twice the weight gets twice the requests. At least 1."""
    region: str = ""
    host: str = ""
    """What it is sent as `host`; empty for what the request says."""


class Balance(Struct, frozen=True):
    """Which target a request goes to."""

    policy: Policy = "round-robin"
    nearest_region: bool = True
    """Targets of the node's own region come first; others only while none of those can be used."""
    load_bound: float = 1.25
    """consistent-hash: no target is given more than so many times its share of what is under way."""


class PassiveHealth(Struct, frozen=True):
    """What requests say of a target."""

    statuses: frozenset[int] = frozenset({502, 503, 504})
    """Answers that count as failures, besides none at all."""
    failures_in_a_row: int = 5
    failure_share: float = 0.5
    """Of the requests of a window..."""
    window_s: float = 10.0
    window_requests: int = 20
    """... that had at least so many."""
    ejected_s: float = 10.0
    """For how long a target gets nothing; each time in a row that much longer."""
    ejected_most_s: float = 300.0
    ejected_most_share: float = 0.5
    """Of the pool; more are not ejected, whatever they do."""
    panic_share: float = 0.34
    """When fewer than these are healthy, health is not looked at: the few would break under the load of all."""


class ActiveHealth(Struct, frozen=True):
    """What targets are asked."""

    path: str = ""
    """Empty: nothing."""
    host: str = ""
    """What targets are sent as such that have none of their own; empty for where they are reached."""
    interval_s: float = 10.0
    jitter_share: float = 0.2
    """Of the interval, more or less: gateways do not ask all at once."""
    timeout_s: float = 5.0
    statuses: frozenset[int] = frozenset(range(200, 400))
    """What a healthy target answers."""
    healthy_after: int = 2
    unhealthy_after: int = 3
    """In a row. The first answer of all says it alone."""


class Breaking(Struct, frozen=True):
    """When a target is left alone altogether."""

    failures_in_a_row: int = 10
    """0: never."""
    open_s: float = 5.0
    """Until one request may try again; twice as long each time that fails."""
    open_most_s: float = 60.0


class Crowding(Struct, frozen=True):
    """How much is under way at once. At the bound a request waits, and is refused when that has its bound, too."""

    target_requests: int = 256
    """Per target, and so connections."""
    waiting: int = 256
    """Requests of the pool that wait for a target."""
    wait_s: float = 2.0


class Retrying(Struct, frozen=True):
    """When a request is tried again at another target."""

    tries: int = 3
    """In all. 1: no request is."""
    statuses: frozenset[int] = frozenset({502, 503, 504})
    """Answers after which it is, besides none at all."""
    budget_share: float = 0.2
    """Of all requests. More tries would be load upon load."""
    budget_per_s: float = 1.0
    """So much besides, for pools that are asked little."""
    deadline_s: float = 60.0
    """After it nothing is tried again, and no try is waited for."""


class OriginPool(Struct, frozen=True):
    """A pool of origins."""

    name: str
    targets: tuple[Target, ...]
    balance: Balance = Balance()
    passive: PassiveHealth = PassiveHealth()
    active: ActiveHealth = ActiveHealth()
    breaking: Breaking = Breaking()
    crowding: Crowding = Crowding()
    retrying: Retrying = Retrying()
    timeouts: OriginTimeouts = OriginTimeouts()
