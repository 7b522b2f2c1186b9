"""Durable Streams clients: idempotent producers that append over plain HTTP."""

import asyncio

import msgspec

from littoral.core.errors import Unavailable
from littoral.core.http import Request, Response
from littoral.core.transport import Transport
from littoral.node.local_tree import LocalTree
from tests.soak.workload import Client

PATH = "journal"
PRODUCER = "soak"
PAUSE_S = 0.1
ANSWER_S = 15.0
CREATED, ADDED = (200, 201), (200, 204)
BUSY = 429
"""This, and what the node could not do (500 and above), is asked again; any other refusal is wrong."""


class Entry(msgspec.Struct, frozen=True):
    """One record of a journal."""

    n: int
    text: str


class Journal(Client):
    """Appends the numbers from 0 on, each until it is answered."""

    def __init__(self, node: str, tree: LocalTree, transport: Transport) -> None:
        super().__init__(f"journal of {node}")
        self.node = node
        self.acknowledged = 0
        self._tree = tree
        self._transport = transport
        self._is_created = False

    @property
    def stream(self) -> str:
        return f"{self.node}/{PATH}"

    async def step(self) -> None:
        if not self._is_created:
            await self._until(CREATED, "PUT", {}, b"")
            self._is_created = True
        producer = {"producer-id": PRODUCER, "producer-epoch": "0", "producer-seq": str(self.acknowledged)}
        entry = Entry(self.acknowledged, "entry " * 8)
        if await self._until(ADDED, "POST", producer, msgspec.json.encode([entry])):
            self.acknowledged += 1
        await asyncio.sleep(PAUSE_S)

    async def _until(self, wanted: tuple[int, ...], method: str, headers: dict[str, str], body: bytes) -> bool:
        """Whether it was answered as it must be."""
        answer, _ = await self.insist(lambda: self._ask(method, headers, body))
        if answer.status not in wanted:
            self.violations.append(f"{self.stream} answered {method} with {answer.status}: {answer.body[:200]!r}")
        return answer.status in wanted

    async def _ask(self, method: str, headers: dict[str, str], body: bytes) -> Response:
        client = self._tree.clients[self.node]
        fields = {"authorization": f"Bearer {client._token}", "content-type": "application/json", **headers}
        request = Request(method, f"/v1/streams/{self.stream}", {}, fields, body)
        answer = await self._transport.request(client.url, request, ANSWER_S)
        if answer.status >= 500 or answer.status == BUSY:
            raise Unavailable("append to", self.stream, f"it answered {answer.status}: {answer.body[:200]!r}")
        return answer
