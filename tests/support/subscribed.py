"""A node's streams and subscriptions without its sockets, in virtual time; and what they wake, which is outside."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from littoral.core.errors import PeerUnreachable
from littoral.core.http import Headers, Request, Response
from littoral.core.names import StreamName
from littoral.core.resources.model import Streams
from littoral.core.tasks import Tasks
from littoral.core.webhooks import Admits
from littoral.store.store import Store
from littoral.streams.access import AccessList
from littoral.streams.server import StreamServer
from littoral.streams.subscriptions.api import is_control
from littoral.streams.subscriptions.record import Owner
from littoral.streams.subscriptions.rights import Caller
from littoral.streams.subscriptions.service import Subscriptions
from littoral.testing.loop import run
from littoral.testing.store import SimStore

NODE = "plant-a"
URL = "https://worker.example/hooks"
SUBSCRIPTION = "__ds/subscriptions/s"
OPERATOR = Caller(Owner(operator=True), AccessList([]))
JSON = {"content-type": "application/json"}
UNTIL_S = 600.0


class Post(NamedTuple):
    """A webhook, as it came."""

    url: str
    headers: Mapping[str, str]
    raw: bytes
    timeout_s: float
    admits: Admits

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)

    @property
    def streams(self) -> dict[str, dict[str, Any]]:
        return {each["path"]: each for each in self.body["streams"]}


class Receiver:
    """What listens at the URL of a webhook. Outlives the node."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.unreadable: set[str] = set()
        self.answer: Callable[[Post], Response | Exception | Awaitable[Response]] = lambda post: Response(200)

    def says(self, status: int, body: bytes = b"") -> None:
        """From now on."""
        self.answer = lambda post: Response(status, (), body)

    def is_away(self) -> None:
        self.answer = lambda post: PeerUnreachable("reach", post.url, "connection refused")

    def flaw(self, url: str) -> str:
        return "it cannot be read" if url in self.unreadable else ""

    async def post(self, url: str, headers: Headers, body: bytes, admits: Admits, timeout_s: float) -> Response:
        post = Post(url, {name.lower(): value for name, value in headers}, body, timeout_s, admits)
        self.posts.append(post)
        answer = self.answer(post)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Response) else await answer


class Subscribed:
    """A process of a node: `stop` or `abandon` it, and make another on the same store."""

    def __init__(self, sim: SimStore, store: Store, receiver: Receiver, streams: Streams | None = None) -> None:
        self.sim = sim
        self.store = store
        self.receiver = receiver
        self.deaths = sim.deaths
        self.warnings: list[str] = []
        self.failures: list[BaseException] = []
        random = sim.random.fork(f"process {sim.deaths}")
        self.server = StreamServer(store, sim.clock, random, sim.limits)
        self.subscriptions = Subscriptions(
            store, streams or Streams(), receiver, sim.disk, sim.clock, random, sim.limits
        )
        self.tasks = Tasks(self.failures.append)
        self.tasks.start(self.subscriptions.run(self.tasks.start, self.warnings.append), "subscriptions")

    def abandon(self) -> None:
        self.tasks.abandon()

    async def stop(self) -> None:
        await self.tasks.stop()
        assert self.failures == []

    # Seen from outside

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = None,
        caller: Caller = OPERATOR,
        host: str = "here:1",
    ) -> Response:
        """One request; path: below the node's own streams, or whole."""
        address = path if path.startswith("/") else f"/v1/stream/{path}"
        shown = {} if token is None else {"authorization": f"Bearer {token}"}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(method, address, {}, {"host": host, **JSON, **shown}, data)
        if is_control(address):
            return await self.subscriptions.api.handle(request, lambda: caller)
        response = await self.server.handle(request)
        assert isinstance(response, Response)
        return response

    async def json(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        """The body of an answer that says yes."""
        response = await self(method, path, body, token)
        assert 200 <= response.status < 300, response
        return json.loads(response.body) if response.body else None

    async def refused(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, str]:
        """The status and the code of an answer that says no."""
        response = await self(method, path, body, **more)
        assert response.status >= 400, response
        error = json.loads(response.body)["error"]
        assert error["message"]
        return response.status, error["code"]

    async def append(self, path: str, *records: object) -> None:
        """To a stream, which is made if it is not there."""
        if self.store.stream(StreamName(NODE, path)) is None:
            assert (await self("PUT", path, b"[]")).status == 201
        for record in records:
            assert (await self("POST", path, record)).status in (200, 204)

    async def webhook(self, pattern: str = "events/*", **more: object) -> Any:
        """Make the subscription `s`."""
        body = {"type": "webhook", "pattern": pattern, "webhook": {"url": URL}, **more}
        return await self.json("PUT", SUBSCRIPTION, body)

    async def pull_wake(self, pattern: str = "events/*", **more: object) -> Any:
        """Make the subscription `s`, and its wake stream."""
        await self.append("wake/pool")
        body = {"type": "pull-wake", "pattern": pattern, "wake_stream": "wake/pool", **more}
        return await self.json("PUT", SUBSCRIPTION, body)

    async def events(self, path: str = "wake/pool") -> list[dict[str, Any]]:
        """All records of a stream."""
        return await self.json("GET", path)

    async def read(self) -> Any:
        """The subscription `s`."""
        return await self.json("GET", SUBSCRIPTION)

    async def acked(self) -> dict[str, str]:
        return {each["path"]: each["acked_offset"] for each in (await self.read())["streams"]}

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(UNTIL_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def posted(self, count: int) -> Post:
        """The webhook that is the so-manieth."""
        await self.until(lambda: len(self.receiver.posts) >= count)
        return self.receiver.posts[count - 1]


def play(story: Callable[[Subscribed], Awaitable[None]], streams: Streams | None = None, **limits: int) -> None:
    """Run `story` on a node with these limits (named with "_")."""

    async def main() -> None:
        sim = SimStore(NODE, **limits)
        node = Subscribed(sim, sim.running(), Receiver(), streams)
        await story(node)
        await node.stop()
        await sim.close()

    run(main)
