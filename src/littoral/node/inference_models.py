"""The models that are loaded, and their files."""

import os
import re
import stat

from littoral.core.errors import LimitReached, NotFound
from littoral.core.inference_limits import INFERENCE_MODEL_BYTES, INFERENCE_MODELS_BYTES
from littoral.core.limits import Limits
from littoral.drivers.onnx_model import OnnxModel

Key = tuple[str, str, str]
"""App, revision, name."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class LoadedModels:
    """Those that were run most recently, up to a number of bytes of their files."""

    def __init__(self) -> None:
        self._models: dict[Key, OnnxModel] = {}
        """The one that was run least recently comes first."""

    def __len__(self) -> int:
        return len(self._models)

    @property
    def bytes(self) -> int:
        """Of their files."""
        return sum(model.bytes for model in self._models.values())

    def get(self, key: Key) -> OnnxModel | None:
        """It counts as run now."""
        model = self._models.pop(key, None)
        if model is not None:
            self._models[key] = model
        return model

    def put(self, key: Key, model: OnnxModel, limits: Limits) -> None:
        """Others go if need be; one that is running meanwhile is gone when its run ends."""
        self._models.pop(key, None)
        self._models[key] = model
        while self.bytes > limits[INFERENCE_MODELS_BYTES] and len(self._models) > 1:
            limits.hit(INFERENCE_MODELS_BYTES)
            del self._models[next(iter(self._models))]

    def keep(self, revisions: set[tuple[str, str]]) -> None:
        """Let go of those of other apps and revisions."""
        self._models = {key: model for key, model in self._models.items() if key[:2] in revisions}


def read_model(directory: str, name: str, limits: Limits) -> bytes:
    """The content of an app's model file. Raises NotFound, LimitReached."""
    remedy = f"Put {name}.onnx into the folder models beside the app's main module, and deploy it"
    # It is said by the app's code.
    if not _NAME.fullmatch(name):
        raise NotFound("load model", name[:100], "that is no name of a model")
    try:
        descriptor = os.open(os.path.join(directory, f"{name}.onnx"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound("load model", name, "the app's revision has no such file", remedy) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise NotFound("load model", name, "the app's revision has no such file", remedy)
    with open(descriptor, "rb") as file:
        if found.st_size > limits[INFERENCE_MODEL_BYTES]:
            limits.hit(INFERENCE_MODEL_BYTES)
            cause = f"its file has {found.st_size} bytes; at most {limits[INFERENCE_MODEL_BYTES]} are loaded"
            raise LimitReached("load model", name, cause, "Make it smaller, or raise the limit inference-model-bytes")
        return file.read()
