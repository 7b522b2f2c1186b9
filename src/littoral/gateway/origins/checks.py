"""Asks the targets of a pool how they are, one task per target."""

import asyncio

from littoral.core.errors import InvalidInput
from littoral.core.random import Random
from littoral.core.tasks import Tasks
from littoral.gateway.origins.member import Member
from littoral.gateway.origins.pool import Pool
from littoral.gateway.origins.transport import OriginFailed, OriginRequest, OriginTimeouts, OriginTransport


class Checks:
    """Those of one pool; none where its settings name no path."""

    def __init__(self, pool: Pool, transport: OriginTransport, random: Random, tasks: Tasks) -> None:
        self._pool = pool
        self._transport = transport
        self._random = random
        self._tasks = tasks
        self._settings = pool.settings.active

    def start(self) -> None:
        """Until the tasks are stopped."""
        if self._settings.path:
            for member in self._pool.members:
                self._tasks.start(self._watch(member), f"check {member.name}")

    async def _watch(self, member: Member) -> None:
        # Not all at once, and not only after a whole interval.
        await asyncio.sleep(self._random.uniform(0, self._settings.interval_s * self._settings.jitter_share))
        while True:
            status = await self._asked(member)
            member.active.answered(status)
            if not member.active.is_healthy:
                member.meter.checks_failed += 1
            await asyncio.sleep(member.active.next_delay_s(self._random))

    async def _asked(self, member: Member) -> int | None:
        """The status of the answer; None for none in time."""
        settings, endpoint = self._settings, member.target.endpoint
        host = member.target.host or settings.host or str(endpoint).partition("//")[2]
        request = OriginRequest("GET", settings.path, (("host", host), ("user-agent", "littoral-check")))
        timeout_s = settings.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._transport.send(endpoint, request, OriginTimeouts(timeout_s, timeout_s, timeout_s))
                status = answer.status
                answer.close()
        except (OriginFailed, InvalidInput, TimeoutError):
            return None
        return status
