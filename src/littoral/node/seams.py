"""What a hub touches of the outside world, all in one place: real in `hub_process`, simulated in `littoral.testing`."""

from collections.abc import Callable
from dataclasses import dataclass, field

from littoral.core.clock import Clock
from littoral.core.disk import Disk
from littoral.core.limits import Limits
from littoral.core.offload import Offload
from littoral.core.random import Random
from littoral.core.transport import Transport
from littoral.core.webhooks import NoWebhooks, Webhooks
from littoral.security.identity import Identity
from littoral.security.store_key import StoreKey
from littoral.store.writer import Writer
from littoral.wire.problem import Fault


@dataclass(frozen=True, slots=True)
class Seams:
    """A hub's outside."""

    clock: Clock
    random: Random
    disk: Disk
    writer: Callable[[Limits], Writer]
    joining: Callable[[bytes | None], Transport]
    """A transport for enrolment and renewal, without a client certificate. It trusts the CA given, or with None
    anyone: to fetch the CA whose fingerprint is then compared with the token's."""
    peers: Callable[[Identity], Transport]
    """The transport to the parent, showing this identity. Called again after each renewal; the returned transport
    replaces the one before."""
    offload: Offload
    """Where work is done that would hold up the event loop."""
    fault: Fault
    """What is answered to a message from above that a fault of ours ended, and who hears of it. Listeners have their own."""
    webhooks: Webhooks = field(default_factory=NoWebhooks)
    """How URLs of clients are called."""
    store_key: StoreKey | None = None
    """What the store is encrypted with."""
    spill: Disk | None = None
    """The directory that spec.storage.spill names, if it does."""
    reload: Callable[[], None] = lambda: None
    """Has the node's gateway processes replaced."""
    renewed: Callable[[Identity], None] = lambda identity: None
    """Told of a new certificate, which is on disk already: listeners take it up."""
