"""A worker's side of the inference process: runs, pipelined over one connection that is opened when first needed.

The process is there only while somebody needs it: a worker that does not find it has the hub start it. A run whose process ends
under way is asked for once more, of the next one; it changes nothing, so it may be. One that is being ended still lets in whoever
connects, as long as the kernel takes: what was asked of one that never said that it is there does not count.
"""

import asyncio
import itertools

from littoral.functions.connection import FrameConnection
from littoral.functions.inference_messages import Ran, RunModel, Tensor, decode_ran, encode
from littoral.workers.ai import AIError, ModelInputs, Outputs
from littoral.workers.binding import BindingCaller, BindingError

FIRST_RETRY_S, LAST_RETRY_S = 0.02, 0.5
ATTEMPTS = 2
FRAME_OVERHEAD_BYTES = 64 * 1024


class InferenceClient:
    """Implements `littoral.workers.ai.ModelRunner`."""

    def __init__(
        self, path: str, credential: str, revision: str, wait_s: float, most_bytes: int, hub: BindingCaller
    ) -> None:
        """hub: has the process started. wait_s: how long a run may take, with all that is before it."""
        self._path = path
        self._credential = credential
        self._revision = revision
        self._wait_s = wait_s
        self._most_bytes = most_bytes
        self._hub = hub
        self._ids = itertools.count(1)
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def run(self, model: str, inputs: ModelInputs) -> Outputs:
        """See ModelRunner."""
        tensors = {name: Tensor(*each) for name, each in inputs.tensors.items()}
        body = encode(run := RunModel(next(self._ids), model, self._revision, tensors, dict(inputs.values)))
        if len(body) > self._most_bytes:
            raise AIError(
                f"cannot run model {model}: its inputs take {len(body)} bytes; at most {self._most_bytes} are taken, which is"
                " the limit inference-bytes of the node"
            )
        attempts, delay_s, ran = 0, 0.0, None
        try:
            async with asyncio.timeout(self._wait_s):
                while ran is None and attempts < ATTEMPTS:
                    await asyncio.sleep(delay_s)
                    connection = await self._connected(model)
                    ran = await connection.ask(run.id, body)
                    if connection.refusal:
                        raise AIError(connection.refusal)
                    if connection.is_admitted:
                        attempts += 1
                    else:
                        delay_s = min(max(delay_s * 2, FIRST_RETRY_S), LAST_RETRY_S)
        except TimeoutError:
            raise AIError(
                f"cannot run model {model}: the node did not answer within {self._wait_s:g} s, which is its limit"
                " inference-wait-ms"
            ) from None
        if ran is None:
            raise AIError(f"cannot run model {model}: the process that runs models ended twice meanwhile")
        if ran.error:
            raise AIError(ran.error)
        return ran.outputs

    def close(self) -> None:
        """Let go of the process; runs that wait are broken off."""
        if self._connection is not None:
            self._connection.close()

    async def _connected(self, model: str) -> "_Connection":
        """Raises AIError where the hub refuses."""
        loop = asyncio.get_running_loop()
        delay_s = FIRST_RETRY_S
        async with self._connecting:
            while self._connection is None or self._connection.is_lost:
                try:
                    _, connection = await loop.create_unix_connection(
                        lambda: _Connection(self._most_bytes + FRAME_OVERHEAD_BYTES), self._path
                    )
                except OSError:
                    try:
                        await self._hub("start", model, [])
                    except BindingError as error:
                        raise AIError(str(error)) from None
                    await asyncio.sleep(delay_s)
                    delay_s = min(delay_s * 2, LAST_RETRY_S)
                else:
                    connection.send(encode(self._credential))
                    self._connection = connection
            return self._connection


class _Connection(FrameConnection):
    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._waiting: dict[int, asyncio.Future[Ran | None]] = {}
        self.is_lost = False
        self.is_admitted = False
        self.refusal = ""

    async def ask(self, number: int, body: bytes) -> Ran | None:
        """None where the connection is lost before the answer."""
        if self.is_lost:
            return None
        waiting: asyncio.Future[Ran | None] = self.loop.create_future()
        self._waiting[number] = waiting
        self.send(body)
        try:
            return await waiting
        finally:
            self._waiting.pop(number, None)

    def received(self, body: bytes) -> None:
        ran = decode_ran(body)
        if not self.is_admitted:
            self.is_admitted, self.refusal = True, ran.error
        waiting = self._waiting.get(ran.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(ran)

    def lost(self) -> None:
        self.is_lost = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
