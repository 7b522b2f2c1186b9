"""Requests to a pool: to which target, and to which next if that one fails."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from littoral.core.clock import Clock
from littoral.core.errors import Unavailable
from littoral.core.random import Random
from littoral.gateway.exchange import Duplex
from littoral.gateway.field_block import Fields
from littoral.gateway.notes import ORIGIN, step
from littoral.gateway.origins.member import Member
from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.pool import Full, Pool
from littoral.gateway.origins.queue import Queue
from littoral.gateway.origins.retries import RetryBudget, may_repeat
from littoral.gateway.origins.settings import OriginPool
from littoral.gateway.origins.transport import (
    OriginAnswer,
    OriginFailed,
    OriginRequest,
    OriginTimeouts,
    OriginTransport,
)
from littoral.gateway.origins.under_way import CountedAnswer, CountedDuplex

Inform = Callable[[int, Fields], None]
REQUEST_TIMEOUT = 408
"""Of a kept connection: the origin has waited too long for a request, most likely before this one came. The transport knows."""


class Answered(NamedTuple):
    """What came of a request."""

    answer: OriginAnswer
    """Read it to its end, or close it: until then it counts as under way."""
    target: str
    """Which target has given it."""
    mark: str
    """What a client has to bring back as `affinity` to come to the same target."""
    tries: int


class Call:
    """A request on its way. Implements `littoral.gateway.cache.sender.Sent`, where `OriginCaller.begin` has made it."""

    __slots__ = ("_caller", "affinity", "first", "hash_key", "inform", "request", "sent", "since_s", "tried")

    def __init__(
        self,
        caller: "OriginCaller",
        request: OriginRequest,
        hash_key: str,
        affinity: str,
        inform: Inform | None,
        since_s: float,
        first: Member | Full | None,
    ) -> None:
        """first: whom the pool has chosen for the first try."""
        self._caller = caller
        self.request = request
        self.hash_key = hash_key
        self.affinity = affinity
        self.inform = inform
        self.since_s = since_s
        self.first = first
        self.tried: list[Member] = []
        self.sent: OriginAnswer | None = None
        """What was begun, of the first try."""

    @property
    def is_under_way(self) -> bool:
        """See Sent."""
        return self.sent is not None

    def taken(self) -> OriginAnswer | None:
        """See Sent."""
        return self._caller.taken(self)

    async def rest(self) -> OriginAnswer:
        """See Sent."""
        return (await self._caller.go_on(self)).answer

    def close(self) -> None:
        """See Sent."""
        self._caller.give_up(self)


class OriginCaller:
    """Reaches the targets of one pool, for one gateway process."""

    def __init__(
        self,
        settings: OriginPool,
        transport: OriginTransport,
        clock: Clock,
        random: Random,
        meter: PoolMeter,
        *,
        key: bytes,
        region: str = "",
    ) -> None:
        """key, region: see Pool."""
        self.settings = settings
        self.pool = Pool(settings, random, meter, region=region, key=key)
        self._transport = transport
        self._now_s = clock.monotonic_s
        self._meter = meter
        self._queue = Queue(settings.crowding, meter)
        self._budget = RetryBudget(settings.retrying, clock.monotonic_s())

    async def call(
        self, request: OriginRequest, *, hash_key: str = "", affinity: str = "", inform: Inform | None = None
    ) -> Answered:
        """hash_key: what consistent-hash goes by. affinity: the mark that the client has brought. Raises OriginFailed (of the
        last try), Unavailable, and what iterating over the body raises."""
        since_s = self._now_s()
        self._budget.request()
        first = self.pool.choose(since_s, hash_key=hash_key, affinity=affinity)
        return await self.go_on(Call(self, request, hash_key, affinity, inform, since_s, first))

    def begin(self, request: OriginRequest, told: Callable[[], None], *, hash_key: str, inform: Inform) -> Call:
        """Ask at once, if the target that is chosen has a connection that is kept. Of a request of which no notes are taken. told: see
        Sent. Raises what `call` raises before anything is sent."""
        since_s = self._now_s()
        self._budget.request()
        member = self.pool.choose(since_s, hash_key=hash_key)
        call = Call(self, request, hash_key, "", inform, since_s, member)
        if isinstance(member, Member):
            endpoint, sent = member.target.endpoint, _to(member, request)
            call.sent = self._transport.begin(endpoint, sent, self.settings.timeouts, inform, told)
            if call.sent is not None:
                self._begin(call, member)
        return call

    def taken(self, call: Call) -> OriginAnswer | None:
        """See Sent."""
        answer, member = call.sent, call.first
        assert answer is not None, "it is under way"
        assert isinstance(member, Member), "it is under way"
        status = answer.status
        if answer.whole is None or status in self.settings.retrying.statuses or status == REQUEST_TIMEOUT:
            return None
        call.sent = None
        self._came(member, answer, call.since_s)
        self._leave(member)
        return answer

    def give_up(self, call: Call) -> None:
        """See Sent."""
        if call.sent is not None and isinstance(call.first, Member):
            call.sent.close()
            call.sent = None
            self._give_up(call.first)

    async def go_on(self, call: Call) -> Answered:
        """With what was begun, or not yet. Raises as `call`."""
        since_s, first = call.since_s, call.first
        member = first if isinstance(first, Member) else await self._target(call, first)
        timeouts = self.settings.timeouts
        while True:
            try:
                answer = await self._try(call, member, timeouts)
            except OriginFailed as failure:
                following = self._next(call, failure)
                if following is None:
                    raise
            else:
                following = self._next(call, None) if answer.status in self.settings.retrying.statuses else None
                if following is None:
                    return Answered(answer, member.name, member.mark, len(call.tried))
                answer.close()
            member = following
            timeouts = self._remaining(since_s)

    async def switch(
        self, request: OriginRequest, *, hash_key: str = "", affinity: str = ""
    ) -> tuple[Answered, Duplex | None]:
        """For an upgrade (see OriginTransport.switch); only what was not sent is tried again. Close the duplex in the end: until
        then it counts as under way."""
        since_s = self._now_s()
        first = self.pool.choose(since_s, hash_key=hash_key, affinity=affinity)
        call = Call(self, request, hash_key, affinity, None, since_s, first)
        member = first if isinstance(first, Member) else await self._target(call, first)
        while True:
            began_s = self._begin(call, member)
            sent = _to(member, request)
            try:
                with step(request.notes, ORIGIN, member.name) as tried:
                    answer, way = await self._transport.switch(member.target.endpoint, sent, self.settings.timeouts)
                    tried.answered(answer.status, answer.fields)
            except OriginFailed as failure:
                self._end(member, failed=True)
                following = self._next(call, failure) if failure.stage == "connect" else None
                if following is None:
                    raise
                member = following
            except BaseException:
                self._give_up(member)
                raise
            else:
                self._came(member, answer, began_s)
                counted = answer if way is not None else self._counted(member, answer)
                answered = Answered(counted, member.name, member.mark, len(call.tried))
                return answered, CountedDuplex(way, partial(self._leave, member)) if way is not None else None

    async def _target(self, call: Call, chosen: Full | None) -> Member:
        """For the first try, where there is none at once. Raises Unavailable."""
        waits = None
        while True:
            if chosen is None:
                self._meter.unavailable += 1
                cause = f"none of its {len(self.pool.members)} targets can be used: their circuits are open, or they are ill"
                raise Unavailable("reach pool", self.settings.name, cause, "Check the targets; they are tried again")
            if waits is None:
                waits = self._queue.enter()
            with step(call.request.notes, "wait for room"):
                has_room = await self._queue.wait(waits)
            if not has_room:
                crowding = self.settings.crowding
                cause = f"its targets have {crowding.target_requests} requests under way each, and no more may wait"
                raise Unavailable("reach pool", self.settings.name, cause, "Add targets, or raise the pool's bounds")
            member = self._choose(call)
            if isinstance(member, Member):
                return member
            chosen = member

    def _choose(self, call: Call) -> Member | Full | None:
        return self.pool.choose(self._now_s(), hash_key=call.hash_key, affinity=call.affinity, tried=call.tried)

    async def _try(self, call: Call, member: Member, timeouts: OriginTimeouts) -> OriginAnswer:
        """Raises OriginFailed, and what iterating over the body raises."""
        sent, call.sent = call.sent, None
        began_s = call.since_s if sent is not None else self._begin(call, member)
        request = _to(member, call.request)
        try:
            with step(request.notes, ORIGIN, member.name) as tried:
                answer = await self._transport.send(member.target.endpoint, request, timeouts, call.inform, sent)
                tried.answered(answer.status, answer.fields)
        except OriginFailed:
            self._end(member, failed=True)
            raise
        except BaseException:
            self._give_up(member)
            raise
        self._came(member, answer, began_s)
        return self._counted(member, answer)

    def _next(self, call: Call, failure: OriginFailed | None) -> Member | None:
        """Another target to try, if that may be done and is within bounds. Nobody waits for one."""
        retrying = self.settings.retrying
        now_s = self._now_s()
        if len(call.tried) >= retrying.tries or now_s - call.since_s >= retrying.deadline_s:
            return None
        if not may_repeat(call.request, failure):
            return None
        following = self._choose(call)
        if not isinstance(following, Member):
            return None
        if not self._budget.take(now_s):
            self._meter.over_budget += 1
            return None
        following.meter.retries += 1
        return following

    def _remaining(self, since_s: float) -> OriginTimeouts:
        left_s = max(since_s + self.settings.retrying.deadline_s - self._now_s(), 0.001)
        timeouts = self.settings.timeouts
        return replace(timeouts, connect_s=min(timeouts.connect_s, left_s), head_s=min(timeouts.head_s, left_s))

    def look(self) -> None:
        """Bring what the meters say of the targets up to date."""
        now_s = self._now_s()
        for member in self.pool.members:
            member.meter.is_healthy = member.is_healthy(now_s) and member.breaker.is_closed

    # What is under way

    def _begin(self, call: Call, member: Member) -> float:
        call.tried.append(member)
        member.inflight += 1
        member.breaker.begin()
        meter = member.meter
        meter.requests += 1
        meter.inflight = member.inflight
        return self._now_s()

    def _came(self, member: Member, answer: OriginAnswer, began_s: float) -> None:
        """The head of an answer."""
        now_s = self._now_s()
        member.meter.took(now_s - began_s)
        if answer.status in self.settings.passive.statuses:
            self.pool.failed(member, now_s)
        else:
            member.succeeded(now_s)

    def _counted(self, member: Member, answer: OriginAnswer) -> OriginAnswer:
        """It is under way until it has been read."""
        if answer.whole is None:
            return CountedAnswer(answer, lambda failed: self._end(member, failed=failed))
        self._leave(member)
        return answer

    def _end(self, member: Member, *, failed: bool) -> None:
        if failed:
            self.pool.failed(member, self._now_s())
        self._leave(member)

    def _give_up(self, member: Member) -> None:
        """It is not known what would have come."""
        member.breaker.given_up()
        self._leave(member)

    def _leave(self, member: Member) -> None:
        member.inflight -= 1
        member.meter.inflight = member.inflight
        self._queue.room()


def _to(member: Member, request: OriginRequest) -> OriginRequest:
    """The request as this member is sent it."""
    host = member.target.host
    if not host:
        return request
    return replace(request, fields=[("host", host) if field[0] == "host" else field for field in request.fields])
