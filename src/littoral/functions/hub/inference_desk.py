"""The hub's side of the inference process: what it is told of apps, what workers are given to reach it, and who starts it."""

import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

from littoral.core.errors import Forbidden, InvalidInput, Unavailable
from littoral.core.function_limits import APP_FOLDERS
from littoral.core.inference_limits import INFERENCE_FRAME_BYTES, INFERENCE_WAIT_MS
from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.config_file import replace_file
from littoral.functions.messages import BindingCall, WorkerInference

DIRECTORY = "inference"
"""Below the node's `run` directory: all of it that the process reads."""
FILE = "config.msgpack"
MODELS = "models"
"""The folder of an app's models, beside its main module."""


PACKAGE, EXTRA = "onnxruntime", "ai"
"""What runs models, and what it is installed by."""


def check_inference(app: str) -> None:
    """Raises Unavailable where this node cannot run models."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise Unavailable(
            "place app",
            app,
            f"it runs models (spec.ai), and this node has no {PACKAGE} to run them with",
            f"Install littoral[{EXTRA}] at the node, and restart it",
        )


class InferenceApp(Struct, frozen=True):
    """One app that runs models."""

    name: str
    models: dict[str, str] = {}
    """By revision: the folder of its models, absolute."""


class InferenceConfig(Struct, frozen=True):
    """All such apps of the node."""

    key: bytes = b""
    """By which the credentials of workers are checked; of this process only."""
    apps: list[InferenceApp] = []
    code: list[str] = []
    """Where the folders of all revisions are."""
    limits: dict[str, int] = {}
    """The node's values over the defaults."""


class InferenceDesk:
    """Keeps run/inference/config.msgpack. As a handler of bindings it has the process started."""

    def __init__(self, run_dir: Path, credentials: Credentials, limits: Limits) -> None:
        self.start: Callable[[], None] = lambda: None
        """Has the process started, unless it runs."""
        self._directory = run_dir / DIRECTORY
        self._limits = limits
        self._key = credentials.derived_key("inference")
        self._credentials = Credentials(self._key)
        self._models: dict[str, dict[str, str]] = {}
        self._code: set[str] = set()
        self._written: InferenceConfig | None = None

    def worker(self, app: PlacedApp, slot: int) -> WorkerInference:
        """What a worker is given; nothing where its app has no such binding."""
        if not app.ai:
            return WorkerInference()
        credential = self._credentials.issue(app.name, slot)
        return WorkerInference(app.ai, credential, self._limits[INFERENCE_WAIT_MS], self._limits[INFERENCE_FRAME_BYTES])

    def apply(self, apps: Iterable[PlacedApp]) -> None:
        """Have the process go by these apps. Where the disk does not take it, it goes by what it has, until `look` succeeds."""
        placed = {app.name: app for app in apps if app.ai}
        self._models = {name: self._models.get(name, {}) for name in placed}
        for name, app in placed.items():
            folders = self._models[name]
            self._code.add(os.path.dirname(app.directory))
            # Workers of the revisions before finish what they have begun.
            folders.pop(app.deployed, None)
            folders[app.deployed] = os.path.join(app.directory, os.path.dirname(app.main), MODELS)
            while len(folders) > self._limits[APP_FOLDERS]:
                del folders[next(iter(folders))]
        self.look()

    def look(self) -> None:
        """Write what is not written yet."""
        apps = [InferenceApp(name, dict(folders)) for name, folders in self._models.items()]
        wanted = InferenceConfig(self._key, apps, sorted(self._code), self._limits.overrides)
        if wanted == self._written or not (apps or self._written):
            return
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            replace_file(self._directory / FILE, wanted)
        except OSError:
            return
        self._written = wanted

    async def __call__(self, app: str, call: BindingCall) -> Any:
        """See BindingHandler."""
        if app not in self._models:
            raise Forbidden("run model", call.namespace, f"app {app} has no binding for it", "Add spec.ai to the app")
        if call.operation != "start":
            raise InvalidInput("run model", call.namespace, f"there is no operation {call.operation[:40]!r}")
        self.look()
        self.start()
