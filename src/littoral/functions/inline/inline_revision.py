"""One revision of an app in a process that does other work as well, from its import to its end."""

import asyncio
from collections.abc import Callable
from contextvars import Context

import msgspec

from littoral.core.limits import Limits
from littoral.functions.inline.inline_alarm import InlineAlarm
from littoral.functions.inline.inline_modules import InlineModules
from littoral.functions.inline.inline_output import AppOutput, current_output, divide_output
from littoral.functions.inline.inline_worker import InlineWorker, task_of_app
from littoral.functions.messages import WorkerSpec
from littoral.functions.worker.environment import plain_env
from littoral.functions.worker.loader import App, find_app
from littoral.functions.worker.redaction import Redact, redactor
from littoral.functions.worker.worker import SharedProcess
from littoral.workers import Env
from littoral.workers.platform import Platform, take_seat

_decode_spec = msgspec.msgpack.Decoder(WorkerSpec).decode


class InlineProcess:
    """What a process has one of, from its first app on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Callable[[], Limits]) -> None:
        self.alarm = InlineAlarm(loop, limits)
        loop.set_task_factory(task_of_app)
        divide_output()


class InlineRevision:
    """One revision of an app, from its import on."""

    def __init__(self, encoded: bytes, number: int, say: Callable[[str], None]) -> None:
        """encoded: its WorkerSpec. number: no other revision's in this process. say: passes on what it writes."""
        self._spec = spec = _decode_spec(encoded)
        self._root = root = f"inline_{spec.app.replace('-', '_')}_{number}"
        self.main = spec.main
        self.deployed = spec.revision
        self.redact = _redactor(spec, root)
        bounds = spec.bounds
        self.output = AppOutput(f"{spec.app}-inline", bounds.log_lines, bounds.log_bytes, self.redact, say)
        self._modules: InlineModules | None = None
        self._context = Context()
        self._context.run(current_output.set, self.output)
        # Code at the top of the app's modules may read its variables and secrets; bindings wait for the worker.
        self._context.run(take_seat, Platform(), Env(plain_env(spec)))

    def load(self) -> App:
        """Import it. Raises whatever its code raises; NoHandler."""
        return self._context.run(self._load)

    def _load(self) -> App:
        self._modules = InlineModules(self._root, self._spec.directory, self._spec.main)
        return find_app(self._modules.load())

    def worker(self, app: App, process: InlineProcess) -> InlineWorker:
        """What answers."""
        shared = SharedProcess(process.alarm.share(), self.redact)
        return InlineWorker(self._spec, app, shared, self._context)

    async def forget_when_ended(self, worker: InlineWorker) -> None:
        """Free what it has, once it has left."""
        await worker.ended()
        self.forget()

    def forget(self) -> None:
        """Nothing of it runs."""
        if self._modules is not None:
            self._modules.forget()


def _redactor(spec: WorkerSpec, root: str) -> Redact:
    """Of its secrets, and of what its modules are called in this process."""
    hide, prefix = redactor(spec.secrets.values()), f"{root}."
    return lambda text: hide(text.replace(prefix, ""))
