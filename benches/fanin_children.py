"""Children of one parent, many in one process: each with its key, its connection and its tokens. In TLS some share a
certificate, which the parent does not mind: it knows a child by the token of each request.

    python -m benches.fanin_children FILE PORT PARENT       FILE: msgpack of FaninChild, in the folder of ca.pem

Told what to do by lines on its input, answers in lines of JSON:

    connect RATE            begin with so many a second; each comes back by itself, as often as it loses its session
    work COUNT RATE SECONDS so many of them append records, so many a second each, and ship them as a node does
    report                  what happened since the last report
"""

import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import uvloop

from benches.http2 import Answer, Http2, Lost, connect
from littoral.core.backoff import Backoff
from littoral.core.limits import RETRY_DELAY_MS
from littoral.core.names import StreamName
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import CONNECT_TIMEOUT_S
from littoral.security.identity import NodeKey
from littoral.security.keys import read_key
from littoral.security.tokens import TokenSigner
from littoral.store.batch import CHAIN_START, StoredBatch, make_batch
from littoral.store.replica import ReplicaOutcome, Verdict, lineage_of
from littoral.streams.pace import REQUEST_TIMEOUT_S
from littoral.streams.uplink import STEADY_S
from littoral.wire import peer

HOST = "127.0.0.1"
CERTIFICATES = 64
RECORD = b'"' + b"x" * 198 + b'"'


class FaninChild(msgspec.Struct):
    """One child, as it enrolled."""

    name: str
    key_pem: bytes
    certificate: str
    """Its file, with the key."""


class Report(msgspec.Struct):
    """What happened in a process since the last report; times are of the machine's monotonic clock."""

    connected: int = 0
    attempts_s: list[float] = []
    greeted_s: list[float] = []
    refused: int = 0
    """Hellos that were asked to come again later."""
    failures: dict[str, int] = {}
    records: int = 0
    batches: int = 0
    took_ms: list[float] = []
    """Of each batch, until it was answered."""


class Refused(Exception):
    """The parent asks to be left alone for a while."""

    def __init__(self, answer: Answer) -> None:
        self.retry_after_s = answer.retry_after_s
        super().__init__(f"status {answer.status}: {bytes(answer.body[:300])!r}")


class Load:
    """The children of this process."""

    def __init__(self, file: Path, port: int, parent: str) -> None:
        self.port = port
        self.parent = parent
        self.ca = file.parent / "ca.pem"
        self.random = SystemRandom()
        self.clock = SystemClock()
        self.report = Report()
        self.failures: Counter[str] = Counter()
        children = msgspec.msgpack.decode(file.read_bytes(), type=list[FaninChild])
        self.children = [Child(self, each) for each in children]
        # A context of its own for each would take more memory than all else of a child.
        self._contexts = [_tls(file.parent / each.certificate, self.ca) for each in children[:CERTIFICATES]]
        self._tasks: list[asyncio.Task[None]] = []
        self._connections = 0

    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        self._connections += 1
        return self._contexts[self._connections % len(self._contexts)]

    async def obey(self, words: list[str]) -> None:
        """Do what one line says."""
        match words:
            case ["connect", rate]:
                pause_s = 1 / float(rate)
                self._tasks += [
                    asyncio.create_task(child.live(number * pause_s)) for number, child in enumerate(self.children)
                ]
            case ["work", count, rate, seconds]:
                busy = self.children[: int(count)]
                await asyncio.gather(*(child.work(float(rate), float(seconds)) for child in busy))
                print("{}", flush=True)
            case ["report"]:
                said, self.report = self.report, Report()
                said.connected = sum(child.connected for child in self.children)
                said.failures = dict(self.failures)
                self.failures.clear()
                print(msgspec.json.encode(said).decode(), flush=True)


class Child:
    """One of them: what `littoral.streams.uplink` does, as far as the parent notices."""

    def __init__(self, load: Load, identity: FaninChild) -> None:
        self._load = load
        self._name = identity.name
        self._signer = TokenSigner(NodeKey(read_key(identity.key_pem)), identity.name, load.clock, load.random)
        self._backoff = Backoff(load.random, RETRY_DELAY_MS.default)
        self._spread_s = 0.0
        self._connection: Http2 | None = None
        self._stream = StreamName(identity.name, "readings")
        self._next = 0
        self._chain = CHAIN_START

    @property
    def connected(self) -> bool:
        """Whether it is in session."""
        return self._connection is not None

    async def live(self, delay_s: float) -> None:
        """Hold sessions, the first after `delay_s`."""
        await asyncio.sleep(delay_s)
        while True:
            began_s = time.monotonic()
            retry_after_s = 0.0
            self._load.report.attempts_s.append(began_s)
            try:
                await self._session()
            except Refused as refused:
                self._load.report.refused += 1
                self._load.failures[str(refused)[:100]] += 1
                retry_after_s = refused.retry_after_s
            except (OSError, Lost, TimeoutError) as error:
                self._load.failures[f"{type(error).__name__} {error}"[:60]] += 1
            self._connection = None
            if time.monotonic() - began_s >= STEADY_S:
                self._backoff.reset()
            spread_s = max(self._spread_s, retry_after_s)
            await asyncio.sleep(self._backoff.next_delay_s(least_s=retry_after_s, spread_s=spread_s))

    async def _session(self) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await connect(HOST, self._load.port, self._load.context())
        try:
            member = peer.Member(self._name, "site", {})
            hello = peer.Hello(peer.PROTOCOL_VERSION, self._name, [member], [(self._stream.origin, self._stream.path)])
            answer = await self._call(connection, "POST", peer.HELLO, peer.encode(hello))
            self._spread_s = peer.decode(bytes(answer.body), peer.Welcome, "welcome").spread_s
            head = await connection.follow(peer.NOTIFY, self._token("GET", peer.NOTIFY))
            if head.status != 200:
                raise Refused(head)
            self._connection = connection
            self._load.report.greeted_s.append(time.monotonic())
            await connection.closed
        finally:
            connection.close()

    def _token(self, method: str, path: str) -> str:
        return self._signer.sign(audience=self._load.parent, method=method, path=path)

    async def _call(self, connection: Http2, method: str, path: str, body: bytes) -> Answer:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            answer = await connection.request(method, path, self._token(method, path), body)
        if answer.status != 200:
            raise Refused(answer)
        return answer

    async def work(self, rate: float, seconds: float) -> None:
        """Records are due at `rate`; one frame is on its way at a time, with all that are due when it leaves."""
        loop = asyncio.get_running_loop()
        began_s = loop.time() + self._load.random.uniform(0, 1 / rate)
        sent = 0
        while (now_s := loop.time()) < began_s + seconds:
            due = int((now_s - began_s) * rate) + 1 - sent if now_s >= began_s else 0
            if due <= 0 or self._connection is None:
                await asyncio.sleep(max(0.001, began_s + sent / rate - now_s))
                continue
            try:
                await self._ship(self._connection, due)
            except (Refused, Lost, TimeoutError) as error:
                self._load.failures[f"batch: {error}"[:100]] += 1
                await asyncio.sleep(1)
                continue
            sent += due
            self._load.report.took_ms.append((loop.time() - now_s) * 1000)

    async def _ship(self, connection: Http2, count: int) -> None:
        lineage = lineage_of("fanin", 1)
        records = [RECORD] * count
        batch = make_batch(self._stream, lineage, self._next, records, self._load.clock.wall_ms(), self._chain)
        frame = peer.pack([StoredBatch(batch, "application/json", "telemetry", "root", 0)])
        answer = await self._call(connection, "POST", peer.BATCHES, frame)
        (outcome,) = peer.decode(bytes(answer.body), list[ReplicaOutcome], "outcomes")
        if outcome.verdict is not Verdict.APPEND or outcome.next != batch.next:
            raise RuntimeError(outcome)
        self._next, self._chain = batch.next, batch.chain
        self._load.report.records += count
        self._load.report.batches += 1


def _tls(certificate: Path, ca: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2"])
    return context


async def _serve(load: Load) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"children": len(load.children)}), flush=True)
    async with asyncio.TaskGroup() as group:
        while line := await reader.readline():
            group.create_task(load.obey(line.decode().split()))
    raise SystemExit


if __name__ == "__main__":
    uvloop.run(_serve(Load(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
