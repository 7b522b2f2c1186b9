"""Pools of origins, and a transport that answers by script."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
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
        self.fields: Fields = (("x", "y"),)
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


class Begun(Answer):
    """One that comes when the test says so."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__(0, ())
        self._told = told
        self.failure: OriginFailed | None = None

    def come(self, status: int = 200, *pieces: Any, whole: bytes | None = b"") -> None:
        """Its head, and the whole of it unless it comes in pieces."""
        self.status, self.whole, self._pieces = status, whole if not pieces else None, list(pieces)
        self._told()

    def fail(self, failure: OriginFailed) -> None:
        """It does not come."""
        self.failure = failure
        self._told()


class Scripted:
    """Implements `OriginTransport`: each host answers what is next in its list, and then 200. `kept`: hosts to which connections are
    kept; what they are asked at once is in `begun`."""

    def __init__(self, **scripts: Any) -> None:
        self.kept: set[str] = set()
        self.begun: list[Begun] = []
        self.scripts = defaultdict(list, {name: list(script) for name, script in scripts.items()})
        self.asked: list[str] = []
        self.ways: list[Way] = []
        self.timeouts: list[Any] = []
        self.requests: list[OriginRequest] = []

    def begin(self, endpoint: Endpoint, request: Any, timeouts: Any, inform: Any, told: Callable[[], None]) -> Any:
        """Where a connection is kept."""
        if endpoint.host not in self.kept:
            return None
        self.asked.append(endpoint.host)
        self.requests.append(request)
        self.begun.append(Begun(told))
        return self.begun[-1]

    async def send(self, endpoint: Endpoint, request: Any, timeouts: Any, inform: Any = None, begun: Any = None) -> Any:
        """What the script says: an answer, a failure, or something to wait for."""
        if begun is not None:
            if begun.failure is not None:
                raise begun.failure
            return begun
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
