"""Clients that follow the stream that a node's producers append to, there or at a node above, live: by server-sent events
or by long polls. Each asks again from the offset it has come to, whatever ended what it had asked before; it must see every
record once, in order, to the end of the run.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal

import msgspec

from littoral.core.errors import LittoralError
from littoral.core.http import Request, Response, StreamingResponse
from littoral.core.names import StreamName
from littoral.node.hub import Hub
from littoral.testing.disk import PowerCut
from littoral.testing.simulation.forking import LOG
from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.world import AGAIN_S, Violation, World
from littoral.testing.tree import SimNode
from littoral.wire.durable_streams import format_offset, parse_offset

Live = Literal["sse", "long-poll"]
PATIENCE_S = 70.0
"""Of a client that hears nothing: longer than a node lets an event stream or a long poll last."""
FOLLOWERS = "followers"
"""Where they are among the world's clients."""


class _Control(msgspec.Struct, rename="camel"):
    """A control event, as far as it matters here."""

    stream_next_offset: str


class Follower:
    """One client."""

    def __init__(self, world: World, at: SimNode, name: StreamName, live: Live, offset: int) -> None:
        self.at = at
        self.name = name
        self.first = offset
        self.seen: list[bytes] = []
        self._world = world
        self._live = live
        self._restores = world.restores[name.origin]

    @property
    def next(self) -> int:
        """The offset it has come to."""
        return self.first + len(self.seen)

    @property
    def is_gone(self) -> bool:
        """Whether it was a client of a node whose store was restored: the offsets it was given are not what they were."""
        return self.at.name == self.name.origin and self._world.restores[self.name.origin] != self._restores

    async def run(self) -> None:
        """Follow for as long as the run lasts."""
        while not self.is_gone:
            if (hub := self.at.hub) is not None:
                try:
                    await self._ask(hub)
                except (LittoralError, PowerCut, TimeoutError) as error:
                    self._world.recoveries[f"follower asked again: {type(error).__name__}"] += 1
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, hub: Hub) -> None:
        query = {"offset": format_offset(self.next), "live": self._live}
        async with asyncio.timeout(PATIENCE_S):
            answer = await hub.streams.handle(Request("GET", f"/v1/streams/{self.name}", query))
        if isinstance(answer, StreamingResponse):
            await self._hear(answer)
        elif answer.status == 200:
            self._take(answer.body, _offset_of(answer))

    async def _hear(self, answer: StreamingResponse) -> None:
        chunks = answer.chunks
        assert isinstance(chunks, AsyncGenerator)
        try:
            while True:
                async with asyncio.timeout(PATIENCE_S):
                    chunk: bytes = await anext(chunks)
                *data, control = chunk.removesuffix(b"\n\n").split(b"\n\n")
                end = msgspec.json.decode(control.partition(b"data:")[2], type=_Control).stream_next_offset
                for event in data:
                    self._take(event.partition(b"data:")[2], parse_offset(end))
        except StopAsyncIteration:
            return
        finally:
            await chunks.aclose()

    def _take(self, body: bytes, end: object) -> None:
        self.seen += [bytes(each) for each in msgspec.json.decode(body, type=list[msgspec.Raw])]
        if end != self.next:
            raise Violation(
                "followers",
                f"{self.name} at {self.at.name}: {self.next} by the records it has seen, {end} by the answer",
            )


async def follow(world: World, event: Event) -> None:
    """Begin to follow the stream, from a point of its history on, as soon as it is there."""
    random, origin = world.chance(event), world.node(event.target)
    at = random.choice([origin, *world.path_up(origin.name)])
    live: Live = random.choice(("sse", "long-poll"))
    name = StreamName(origin.name, LOG)
    hub = at.hub
    info = hub.store.stream(name) if hub is not None else None
    offset = random.randint(0, info.next) if info is not None else 0
    follower = Follower(world, at, name, live, offset)
    followers: list[Follower] = world.clients.setdefault(FOLLOWERS, [])
    followers.append(follower)
    world.note(at.name, "work", f"a client follows {name} from {offset} on, by {live}", event)
    world.start(follower.run(), f"follow {event.number}")


def followers_wait(world: World) -> str:
    """Empty once all have seen all there is."""
    for follower in world.clients.get(FOLLOWERS, ()):
        info = follower.at.running.store.stream(follower.name)
        if info is not None and not follower.is_gone and follower.next < info.next:
            return f"a follower of {follower.name} at {follower.at.name} has come to {follower.next} of {info.next}"
    return ""


def check_followers(world: World) -> None:
    """Each has seen what the node holds from its offset on: every record once, in order."""
    for follower in world.clients.get(FOLLOWERS, ()):
        held = follower.at.records(str(follower.name))[follower.first :]
        if not follower.is_gone and follower.seen != held:
            place = next((n for n, (a, b) in enumerate(zip(follower.seen, held, strict=False)) if a != b), -1)
            raise Violation(
                "followers",
                f"{follower.name} at {follower.at.name}: saw {len(follower.seen)} records, not {len(held)};"
                f" they differ from {place} on",
            )


def _offset_of(answer: Response) -> int | None:
    return parse_offset({name.lower(): value for name, value in answer.headers}["stream-next-offset"])
