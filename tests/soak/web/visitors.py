"""Clients of all kinds. Each goes on until it is told to end, and checks all that it is given."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable

from tests.soak.web.connection import Answer, Broken, Connection
from tests.soak.web.site import BY_NAME, KINDS, LANGUAGES, Page, version_of
from tests.soak.web.tally import Tally

REQUESTS_MOST = 200
"""On one connection."""
FAILING = frozenset({"broken", "ill"})
UPLOAD_BYTES = 3 << 20
SLOW_S = 0.05
SLOW_BYTES = 256 << 10
Visit = Callable[["Visitor", Connection], Awaitable[None]]


class Visitor:
    """One client."""

    def __init__(self, port: int, seed: int, visit: Visit, tally: Tally) -> None:
        self.random = random.Random(seed)
        self.tally = tally
        self.is_done = False
        self._port = port
        self._visit = visit

    async def run(self) -> None:
        while not self.is_done:
            connection = await Connection.open(self._port)
            try:
                for _ in range(REQUESTS_MOST):
                    if not self._goes_on(connection):
                        break
                    await self._visit(self, connection)
            except Broken as broken:
                self.tally.broke(self._visit.__name__, broken)
            except TimeoutError:
                self.tally.violated(f"{self._visit.__name__}: no answer in time")
            finally:
                connection.close()

    def _goes_on(self, connection: Connection) -> bool:
        return connection.is_open and not self.is_done

    def page(self, *names: str) -> Page:
        """One of these kinds; few are asked for often, and many seldom."""
        kind = BY_NAME[self.random.choice(names)]
        number = int(kind.pages * self.random.random() ** 3)
        return Page(kind, number, self.random.choice(LANGUAGES) if kind.varies else "en")


async def read_pages(visitor: Visitor, connection: Connection) -> None:
    """Pages of all kinds but the largest, one after another."""
    page = visitor.page(*(kind.name for kind in KINDS if kind.name != "huge"))
    try:
        answer = await connection.ask(page.path, {"accept-language": page.language})
    except Broken:
        if page.kind.name != "broken":
            raise
        visitor.tally.happened("answers of an origin that broke off")
        connection.is_last = True
        return
    _check(visitor, page, answer)


def _check(visitor: Visitor, page: Page, answer: Answer) -> None:
    tally = visitor.tally
    if answer.status in (502, 503) and page.kind.name in FAILING:
        tally.happened("answers of an origin that failed")
        return
    if answer.status != 200:
        tally.violated(f"{page.path}: status {answer.status}: {answer.body[:200]!r}")
        return
    if version_of(page, answer.body) is None:
        tally.violated(f"{page.path} ({page.language}): not this page, or not whole: {answer.body[:60]!r}")
    said = answer.fields.get("cache-status", "")
    tally.happened("pages from a cache" if "; hit" in said else "pages from the origin")


async def read_parts(visitor: Visitor, connection: Connection) -> None:
    """A part of a large page."""
    page = visitor.page("large", "huge")
    body = page.body(0)
    start = visitor.random.randrange(len(body))
    end = min(len(body), start + visitor.random.randrange(1, 300_000))
    answer = await connection.ask(page.path, {"range": f"bytes={start}-{end - 1}"})
    expected = body if answer.status == 200 else body[start:end]
    if answer.status not in (200, 206) or answer.body != expected:
        visitor.tally.violated(f"{page.path}: bytes {start} to {end}: status {answer.status}, {len(answer.body)} bytes")
    visitor.tally.happened("parts")


async def ask_whether_changed(visitor: Visitor, connection: Connection) -> None:
    """A page that the client has already."""
    page = visitor.page("small", "fresh")
    answer = await connection.ask(page.path, {"if-none-match": page.etag})
    if answer.status != 304:
        visitor.tally.violated(f"{page.path}: status {answer.status} where nothing changed")
    visitor.tally.happened("pages that had not changed")


async def leave_early(visitor: Visitor, connection: Connection) -> None:
    """Begin to read, and go."""
    connection.send("GET", visitor.page("large", "huge").path)
    await connection.head()
    await connection.reader.read(visitor.random.randrange(1, 500_000))
    connection.is_last = True
    visitor.tally.happened("clients that left early")


async def read_slowly(visitor: Visitor, connection: Connection) -> None:
    """All of something huge, little by little."""
    page = visitor.page("huge")
    connection.send("GET", page.path)
    answer = await connection.head()
    left, pieces = int(answer.fields.get("content-length", "0")), []
    while left and (piece := await connection.reader.read(min(left, SLOW_BYTES))):
        pieces.append(piece)
        left -= len(piece)
        await asyncio.sleep(SLOW_S)
    if left:
        raise Broken(connection.since_s, f"{left} bytes before the end of {page.path}")
    if version_of(page, b"".join(pieces)) is None:
        visitor.tally.violated(f"{page.path}: not this page, or not whole")
    visitor.tally.happened("huge pages read slowly")


async def upload(visitor: Visitor, connection: Connection) -> None:
    """Send something; what came is answered."""
    body = visitor.random.randbytes(visitor.random.randrange(1, UPLOAD_BYTES))
    chunked = visitor.random.random() < 0.5
    framing = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(len(body))}
    connection.send("POST", "/uploads", framing)
    connection.writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
    try:
        await connection.writer.drain()
    except ConnectionError as error:
        raise Broken(connection.since_s, f"while it was sent to ({error})") from error
    answer = await connection.head()
    answer.body = await connection.body(answer)
    if answer.body != hashlib.sha256(body).hexdigest().encode():
        visitor.tally.violated(f"upload of {len(body)} bytes: status {answer.status}: {answer.body[:100]!r}")
    visitor.tally.happened("uploads")


async def listen(visitor: Visitor, connection: Connection) -> None:
    """Events, in their order."""
    connection.send("GET", "/events")
    await connection.head()
    expected = 0
    try:
        while expected < 40:
            line = await connection.reader.readuntil(b"\n\n")
            said = line.rpartition(b"data: ")[2].strip()
            if int(said) != expected:
                visitor.tally.violated(f"event {said!r} came where {expected} was to come")
            expected += 1
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Broken(connection.since_s, f"after {expected} events") from error
    connection.is_last = True
    visitor.tally.happened("streams of events")


async def talk(visitor: Visitor, connection: Connection) -> None:
    """Another protocol on the same connection."""
    connection.send("GET", "/talk", {"connection": "upgrade", "upgrade": "websocket"})
    answer = await connection.head()
    connection.is_last = True
    if answer.status != 101:
        visitor.tally.violated(f"/talk: status {answer.status}")
        return
    for _ in range(10):
        said = visitor.random.randbytes(visitor.random.randrange(1, 5000))
        try:
            connection.writer.write(said)
            heard = await connection.reader.readexactly(len(said))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Broken(connection.since_s, "in the middle of a talk") from error
        if heard != said:
            visitor.tally.violated("what came back was not what was said")
    visitor.tally.happened("talks")


VISITS: tuple[tuple[Visit, int], ...] = (
    (read_pages, 24),
    (read_parts, 3),
    (ask_whether_changed, 3),
    (leave_early, 2),
    (read_slowly, 3),
    (upload, 2),
    (listen, 2),
    (talk, 2),
)
"""Kinds of clients, and how many there are of each."""


def visitors(port: int, seed: int, tally: Tally) -> list[Visitor]:
    """All of a run."""
    visits = [visit for visit, count in VISITS for _ in range(count)]
    return [Visitor(port, seed * 1000 + number, visit, tally) for number, visit in enumerate(visits)]
