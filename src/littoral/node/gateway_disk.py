"""What a gateway process keeps of HTTP answers on the disk: the parts, put together."""

from collections.abc import Callable
from pathlib import Path

from littoral.core.clock import Clock
from littoral.core.gateway_limits import GATEWAY_DISK_BYTES, GATEWAY_DISK_OBJECT_BYTES, GATEWAY_DISK_QUEUE_BYTES
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.tasks import Tasks
from littoral.drivers.cache_disk import CacheDisk
from littoral.gateway.cache.disk import DiskTier
from littoral.gateway.cache.meters import DiskMeter
from littoral.gateway.cache.purge_log import PurgeLog


class GatewayDisk:
    """Of one process."""

    def __init__(
        self,
        directory: Path,
        purges: PurgeLog,
        clock: Clock,
        random: Random,
        tasks: Tasks,
        log: Callable[[str], None],
    ) -> None:
        """directory: which all gateways of the node use. purges: those that the process has heard of."""
        self._meter = DiskMeter()
        self._objects = CacheDisk(directory, clock, random, self._meter)
        self.tier = DiskTier(self._objects, purges, tasks, self._meter, log)
        self.configure(Limits())

    def configure(self, limits: Limits) -> None:
        """Go by these from now on."""
        self._objects.queue_bytes = limits[GATEWAY_DISK_QUEUE_BYTES]
        self.tier.resize(limits[GATEWAY_DISK_BYTES], limits[GATEWAY_DISK_OBJECT_BYTES])

    def look(self) -> DiskMeter:
        """What there is to report."""
        self._objects.look()
        return self._meter
