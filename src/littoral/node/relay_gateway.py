"""What goes on between a gateway process and those of the nodes above and below: it asks above, and answers below."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from littoral.core.clock import Clock
from littoral.core.errors import StartupError
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.drivers.peer_certificates import PeerCertificates, PeerFiles
from littoral.drivers.web_listener import WebListener
from littoral.gateway.cache.position import Position
from littoral.gateway.gateway import Gateway
from littoral.gateway.origins.transport import Endpoint, OriginTransport
from littoral.gateway.relay import PurgesHeard, Relay
from littoral.gateway.shield import Shield
from littoral.gateway.shield_parent import ParentWay, ShieldParent
from littoral.gateway.shield_purges import ShieldPurges
from littoral.node.cache_orders import CacheOrders
from littoral.node.gateway_config import GatewayConfig, IdentityFiles
from littoral.node.purge_messages import Told
from littoral.wire.relay import PurgesKnown

if TYPE_CHECKING:
    from littoral.node.relay_children import RelayChildren


class GatewayNeighbours:
    """Implements `littoral.node.control_client.Neighbours`."""

    def __init__(
        self,
        gateway: Gateway,
        transport: OriginTransport,
        orders: CacheOrders,
        clock: Clock,
        tasks: Tasks,
        descriptor: int | None,
        log: Callable[[str], None],
    ) -> None:
        """transport: to the parent. descriptor: a listening socket for children, if there is one."""
        self.shield = Shield(ShieldPurges(clock, orders.aim))
        self._gateway = gateway
        self._transport = transport
        self._clock = clock
        self._tasks = tasks
        self._descriptor = descriptor
        self._log = log
        self._heard = PurgesHeard()
        self._place: ShieldParent | None = None
        self._limits = Limits()
        self._relay = Relay(gateway.serve, gateway.find, self._heard, clock, self._limits, gateway.meters.relay)
        self._children: RelayChildren | None = None
        self._listener: WebListener | None = None

    # Purges

    def ordered(self, told: Told) -> None:
        """See Neighbours."""
        if (news := told.before_parent) is None:
            return
        if news.is_all:
            self.shield.purges.tell_all(news.known, news.own, news.before_ms, news.now_ms)
        else:
            self.shield.purges.tell(news.known, news.own, news.now_ms)

    def done(self, until: Position) -> None:
        """See Neighbours."""
        self._heard.note(PurgesKnown(until.log, until.next))

    # The configuration

    def configure(self, config: GatewayConfig, limits: Limits) -> None:
        """Go by this from now on."""
        self._limits = self._relay.limits = limits
        self.shield.purges.look_again()
        self._use_parent(config, limits)
        if self._listener is not None:
            self._listener.configure(limits)
        elif self._descriptor is not None and config.identity is not None:
            self._listen(self._descriptor, config.identity)
        if self._children is not None:
            self._children.known = config.children

    def _use_parent(self, config: GatewayConfig, limits: Limits) -> None:
        place, files = None, config.identity
        if config.parent is not None and files is not None:
            parent = config.parent
            endpoint = Endpoint("https", parent.host, parent.port, parent.node, files.ca, files.certificate, files.key)
            place = ShieldParent(parent.node, endpoint)
        way = self.shield.way
        if place is None:
            self.shield.way = None
        elif way is None or way.parent != place or way.limits.overrides != limits.overrides:
            self.shield.way = ParentWay(place, self._transport, self._clock, limits)

    def _listen(self, descriptor: int, files: IdentityFiles) -> None:
        try:
            certificates = PeerCertificates(PeerFiles(files.ca, files.certificate, files.key))
        except StartupError as error:
            self._log(f"{error}. Gateways of children are not answered until then")
            return
        # What reads certificates is a tenth of a gateway's start, and most have no children.
        from littoral.node.relay_children import RelayChildren  # noqa: PLC0415

        self._children = RelayChildren(self._relay)
        serve_of = self._children.serve_of
        self._listener = WebListener(descriptor, self._relay.serve, self._limits, certificates, serve_of=serve_of)
        self._tasks.start(self._listener.start(), "relay listener")

    async def stop(self, grace_s: float, idle_s: float = 0.0) -> None:
        """Answer children no more; as `WebListener.stop`."""
        if self._listener is not None:
            await self._listener.stop(grace_s, idle_s)


async def stop_both(listener: WebListener, neighbours: GatewayNeighbours, grace_s: float, idle_s: float = 0.0) -> None:
    """Finish what clients and children have begun, both at once."""
    await asyncio.gather(listener.stop(grace_s, idle_s), neighbours.stop(grace_s, idle_s))
