"""Pools of origins, and a transport that answers by script."""

import asyncio
from collections import defaultdict
from typing import Any

from littoral.gateway.field_block import Fields
from littoral.gateway.origins.caller import OriginCaller
from littoral.gateway.origins.member import Member
from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.pool import Pool
from littoral.gateway.origins.settings import OriginPool, Target
from littoral.gateway.origins.transport import Endpoint, OriginFailed, OriginRequest
from littoral.testing.clock import SimClock
from littoral.testing.random import SeededRandom

KEY = b"secret"


def targets(*hosts: str, weights: tuple[int, ...] = (), regions: tuple[str, ...] = ()) -> tuple[Target, ...]:
    """On port 80."""
    return tuple(
        Target(
            Endpoint("http", host, 80),
            weights[number] if weights else 1,
            regions[number] if regions else "",
        )
        for number, host in enumerate(hosts)
    )


def pool_of(*hosts: str, region: str = "", weights=(), regions=(), seed: int = 0, **settings: Any) -> Pool:
    """One that nobody has used."""
    given = OriginPool("pool", targets(*hosts, weights=weights, regions=regions), **settings)
    return Pool(given, SeededRandom(seed), PoolMeter(), region=region, key=KEY)


def host(member: object) -> str:
    """Of whom was chosen."""
    assert isinstance(member, Member), member
    return member.target.endpoint.host


def failed(stage: str = "connect", *, timed_out: bool = False) -> OriginFailed:
    """What the transport raises."""
    failure = OriginFailed("ask", "origin", "it was told to")
    failure.stage, failure.timed_out = stage, timed_out  # type: ignore[assignment]
    return failure


class Answer:
    """One of a scripted origin."""

    version = "1.1"

    def __init__(self, status: int = 200, pieces: tuple[Any, ...] | None = None) -> None:
        self.status = status
        self.fields = (("x", "y"),)
        self.whole = b"" if pieces is None else None
        self.length = None
        self.trailers: Fields = ()
        self.personal: Fields = ()
        self.older_s = 0.0
        self.is_closed = False
        self._pieces = list(pieces or ())

    async def read(self) -> bytes:
        """The next piece, or failure."""
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, BaseException):
            raise piece
        assert isinstance(piece, bytes)
        return piece

    def close(self) -> None:
        """Noted."""
        self.is_closed = True


class Scripted:
    """Implements `OriginTransport`: each host answers what is next in its list, and then 200."""

    def __init__(self, **scripts: Any) -> None:
        self.scripts = defaultdict(list, {name: list(script) for name, script in scripts.items()})
        self.asked: list[str] = []
        self.ways: list[Way] = []
        self.timeouts: list[Any] = []
        self.requests: list[OriginRequest] = []

    async def send(self, endpoint: Endpoint, request: Any, timeouts: Any, inform: Any = None) -> Any:
        """What the script says: an answer, a failure, or something to wait for."""
        self.asked.append(endpoint.host)
        self.timeouts.append(timeouts)
        self.requests.append(request)
        script = self.scripts[endpoint.host]
        said = script.pop(0) if script else Answer()
        if isinstance(said, asyncio.Future):
            said = await said
        if isinstance(said, float):
            await asyncio.sleep(said)
            said = failed("head", timed_out=True)
        if isinstance(said, int):
            return Answer(said)
        if isinstance(said, BaseException):
            raise said
        return said

    async def switch(self, endpoint: Endpoint, request: Any, timeouts: Any) -> Any:
        """The same, with a way on for 101."""
        answer = await self.send(endpoint, request, timeouts)
        if answer.status != 101:
            return answer, None
        self.ways.append(Way())
        return answer, self.ways[-1]


class Way:
    """A duplex that leads nowhere."""

    def __init__(self) -> None:
        self.is_closed = False

    async def read(self) -> bytes:
        """Nothing."""
        return b""

    async def write(self, data: bytes) -> None:
        """Nowhere."""

    def end(self) -> None:
        """Nothing more."""

    def close(self) -> None:
        """Noted."""
        self.is_closed = True


def caller_of(transport: Scripted, *hosts: str | Target, **settings: Any) -> OriginCaller:
    """In virtual time."""
    given = OriginPool(
        "pool", tuple(each if isinstance(each, Target) else targets(each)[0] for each in hosts), **settings
    )
    clock = SimClock(asyncio.get_running_loop())
    return OriginCaller(given, transport, clock, SeededRandom(0), PoolMeter(), key=KEY)
