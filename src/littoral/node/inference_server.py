"""The node's inference process: it runs the models of apps, for functions that ask for it."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from msgspec import Struct

from littoral.core.clock import Clock
from littoral.core.errors import Forbidden, LimitReached, LittoralError, TimedOut
from littoral.core.inference_limits import INFERENCE_FRAME_BYTES, INFERENCE_QUEUE, INFERENCE_RUN_MS, INFERENCE_THREADS
from littoral.core.limits import Limits
from littoral.core.tasks import Tasks
from littoral.drivers.onnx_model import OnnxModel, Stop
from littoral.functions.connection import FrameConnection, check_socket_path
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.config_file import ConfigFile
from littoral.functions.hub.inference_desk import DIRECTORY, FILE, InferenceConfig
from littoral.functions.hub.platform_socket import serve_workers
from littoral.functions.inference_messages import Ran, RunModel, decode_credential, decode_run, encode
from littoral.functions.places import INFERENCE
from littoral.node.inference_meters import InferenceMeter
from littoral.node.inference_models import Key, LoadedModels, read_model
from littoral.node.inference_queue import TurnQueue

STOP_S = 1.0
"""What a run has to end in, once it was told to."""
REFUSAL = "cannot run models: this worker is of no app that runs models at this node any more"
CREDENTIAL_S = 5.0
"""A connection on which nobody has said by then who it is, is closed."""


class InferenceServer:
    """Answers the workers of all apps at run/srv/inference."""

    def __init__(
        self, run_dir: Path, clock: Clock, tasks: Tasks, log: Callable[[str], None], end: Callable[[], None]
    ) -> None:
        """log: takes one line. end: ends the process at once: a run that cannot be stopped has a thread of it."""
        self.limits = Limits()
        self.meters: dict[str, InferenceMeter] = {}
        """By app."""
        self.models = LoadedModels()
        self.asked_at_s = clock.monotonic_s()
        """When a run was last asked for."""
        self._path = check_socket_path(run_dir / INFERENCE)
        self._file = ConfigFile(run_dir / DIRECTORY / FILE, InferenceConfig)
        self._clock = clock
        self._tasks = tasks
        self._log = log
        self._end = end
        self._credentials: Credentials | None = None
        self._folders: dict[tuple[str, str], str] = {}
        """Of models, by app and revision."""
        self.code: list[str] = []
        """Where the folders of all revisions are."""
        self._lines: set[_Line] = set()
        self._queue: TurnQueue[_Job] = TurnQueue()
        self._running = 0
        self._server: asyncio.AbstractServer | None = None
        self.load()
        self._threads = ThreadPoolExecutor(self.limits[INFERENCE_THREADS], "inference")

    async def start(self) -> None:
        """Listen. Raises OSError."""
        self._server = await serve_workers(self._path, lambda: _Line(self))

    async def stop(self) -> None:
        """Close; what is under way is broken off, and its workers ask the next process."""
        if self._server is not None:
            self._server.close()
        for line in list(self._lines):
            line.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Runs, for a thread."""
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._running and not self._queue

    # Lines

    def opened(self, line: "_Line") -> None:
        """A worker connected."""
        self._lines.add(line)
        asyncio.get_running_loop().call_later(CREDENTIAL_S, self._check_proved, line)

    def _check_proved(self, line: "_Line") -> None:
        if line in self._lines and not line.app:
            line.close()

    def lost(self, line: "_Line") -> None:
        """A worker is gone."""
        self._lines.discard(line)
        self._queue.drop(lambda job: job.line is line)

    def admit(self, credential: str) -> str | None:
        """The app that it proves, or None."""
        self.load()
        return self._credentials.app(credential) if self._credentials is not None else None

    def ask(self, line: "_Line", run: RunModel) -> None:
        """Answer it, when its turn comes."""
        self.load()
        self.asked_at_s = self._clock.monotonic_s()
        self.meters.setdefault(line.app, InferenceMeter()).runs += 1
        if self._queue.waiting(line.app) >= self.limits[INFERENCE_QUEUE]:
            self.limits.hit(INFERENCE_QUEUE)
            cause = (
                f"app {line.app} has {self.limits[INFERENCE_QUEUE]} runs waiting, which is the limit inference-queue"
            )
            self._fail(line, run, LimitReached("run model", run.model[:100], cause, "Try again later"))
            return
        self._queue.add(line.app, _Job(line, run))
        self._go_on()

    # Runs

    def _go_on(self) -> None:
        while self._running < self.limits[INFERENCE_THREADS] and (job := self._queue.next()) is not None:
            self._running += 1
            self._tasks.start(self._run(job), f"run {job.run.model[:100]} of {job.line.app}")

    async def _run(self, job: "_Job") -> None:
        line, run = job.line, job.run
        began_s = self._clock.monotonic_s()
        try:
            line.send(await self._outputs(line.app, run))
        except LittoralError as error:
            self._fail(line, run, error)
        except MemoryError:
            cause = "there is not so much memory; see the limit inference-memory-bytes"
            self._fail(line, run, LimitReached("run model", run.model, cause))
        finally:
            self.meters[line.app].run_s += self._clock.monotonic_s() - began_s
            self._running -= 1
            self.asked_at_s = self._clock.monotonic_s()
            self._go_on()

    async def _outputs(self, app: str, run: RunModel) -> bytes:
        """The answer, encoded. Raises LittoralError, MemoryError."""
        key: Key = (app, run.revision, run.model)
        folder = self._folders.get(key[:2])
        if folder is None:
            raise Forbidden(
                "run model", run.model[:100], f"this revision of app {app} is not placed at this node any more"
            )
        loaded, stop = self.models.get(key), Stop()
        work = partial(_work, loaded, folder, run, self.limits, stop)
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        most_ms = self.limits[INFERENCE_RUN_MS]
        await asyncio.wait({running}, timeout=most_ms / 1000)
        if not running.done():
            self.limits.hit(INFERENCE_RUN_MS)
            stop.set()
            await asyncio.wait({running}, timeout=STOP_S)
        if not running.done():
            self._log(
                f"inference: {app}: model {run.model[:100]} did not end within {most_ms} ms, nor when it was told to"
            )
            # Whoever asks again must find the next process: the system ends threads and frees memory before it closes files.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self._end()
        try:
            model, answer = await running
        except TimedOut as error:
            cause = f"it did not end within {most_ms} ms, which is the limit inference-run-ms"
            raise TimedOut("run model", run.model, cause) from error
        if loaded is None and key[:2] in self._folders:
            self.models.put(key, model, self.limits)
        return answer

    def _fail(self, line: "_Line", run: RunModel, error: LittoralError) -> None:
        self.meters[line.app].errors += 1
        line.send(encode(Ran(run.id, error=str(error))))

    # Configuration

    def load(self) -> None:
        """Take over what the hub has written, if it is new."""
        config = self._file.changed()
        if config is None:
            return
        self.limits = Limits(config.limits, self.limits.reached)
        self._credentials = Credentials(config.key)
        self.code = config.code
        self._folders = {(app.name, revision): folder for app in config.apps for revision, folder in app.models.items()}
        self.models.keep(set(self._folders))


class _Line(FrameConnection):
    """One worker's connection."""

    def __init__(self, server: InferenceServer) -> None:
        super().__init__(server.limits[INFERENCE_FRAME_BYTES])
        self._server = server
        self.app = ""
        """Empty until it has been proved."""

    def opened(self) -> None:
        self._server.opened(self)

    def received(self, body: bytes) -> None:
        if self.app:
            self._server.ask(self, decode_run(body))
            return
        app = self._server.admit(decode_credential(body))
        if app is None:
            # Whoever this is, it is no worker of ours: there is nothing to tell but that.
            self.send(encode(Ran(0, error=REFUSAL)))
            self.close()
            return
        self.app = app
        self.send(encode(Ran(0)))

    def lost(self) -> None:
        self._server.lost(self)


class _Job(Struct, frozen=True):
    line: _Line
    run: RunModel


def _work(loaded: OnnxModel | None, folder: str, run: RunModel, limits: Limits, stop: Stop) -> tuple[OnnxModel, bytes]:
    """What a thread does: the model, and the answer, encoded. Raises LittoralError, MemoryError."""
    model = loaded or OnnxModel(run.model, read_model(folder, run.model, limits))
    answer = encode(Ran(run.id, model.run(run.tensors, run.values, stop)))
    if len(answer) > limits[INFERENCE_FRAME_BYTES]:
        limits.hit(INFERENCE_FRAME_BYTES)
        most = limits[INFERENCE_FRAME_BYTES]
        cause = (
            f"its outputs take {len(answer)} bytes; at most {most} are passed on, which is the limit inference-bytes"
        )
        raise LimitReached("run model", run.model, cause)
    return model, answer
