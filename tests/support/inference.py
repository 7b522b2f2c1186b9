"""Models, the process that runs them, and functions that ask it."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.inference_desk import InferenceDesk
from littoral.functions.places import INFERENCE
from littoral.functions.worker.inference_client import InferenceClient
from littoral.workers.ai import AI

KEY = b"i" * 32
WAIT_S = 60.0
FLOATS, COUNT = TensorProto.FLOAT, TensorProto.INT64


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[Any]]],
    outputs: Mapping[str, tuple[int, Sequence[Any]]],
    constants: Sequence[TensorProto] = (),
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "tested",
        [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()],
        [helper.make_tensor_value_info(name, *each) for name, each in outputs.items()],
        list(constants),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def twice() -> bytes:
    """Adds "x" ([any, 2]) to itself."""
    shape: tuple[int, Sequence[Any]] = (FLOATS, [None, 2])
    return model([helper.make_node("Add", ["x", "x"], ["y"])], {"x": shape}, {"y": shape}).SerializeToString()


def endless() -> bytes:
    """A loop of many short steps."""
    shape: tuple[int, Sequence[Any]] = (FLOATS, [None, 2])
    infos = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["a", "a"], ["a2"])],
        "body",
        [infos("i", COUNT, []), infos("c", TensorProto.BOOL, []), infos("a", *shape)],
        [infos("c2", TensorProto.BOOL, []), infos("a2", *shape)],
    )
    constants = [helper.make_tensor("m", COUNT, [], [2**40]), helper.make_tensor("on", TensorProto.BOOL, [], [True])]
    nodes = [helper.make_node("Loop", ["m", "on", "x"], ["y"], body=body)]
    return model(nodes, {"x": shape}, {"y": shape}, constants).SerializeToString()


def square() -> bytes:
    """One step over matrices of "n" by "n": as long, and with as much memory, as whoever asks likes."""
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["a"]),
        helper.make_node("MatMul", ["a", "a"], ["b"]),
        helper.make_node("ReduceSum", ["b"], ["y"], keepdims=0),
    ]
    return model(nodes, {"n": (COUNT, [2])}, {"y": (FLOATS, [])}).SerializeToString()


def beside(location: str) -> bytes:
    """Its numbers are in another file."""
    outside = TensorProto(name="w", data_type=FLOATS, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("length", "8")):
        outside.external_data.add(key=key, value=value)
    shape: tuple[int, Sequence[Any]] = (FLOATS, [None, 2])
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    return model(nodes, {"x": shape}, {"y": shape}, [outside]).SerializeToString()


class Inference:
    """The process, with apps placed, each with these models."""

    def __init__(self, home: Path, models: Mapping[str, bytes], apps: Sequence[str], limits: dict[str, int]) -> None:
        self.home = home
        self.run_dir = home / "run"
        self.started = 0
        self._models = models
        self._process: subprocess.Popen[bytes] | None = None
        self.run_dir.mkdir()
        self.desk = InferenceDesk(self.run_dir, Credentials(KEY), Limits(limits))
        self.place(*apps)

    def app(self, name: str) -> PlacedApp:
        directory = self.home / "apps" / f"{name}-1"
        (directory / "src" / "models").mkdir(parents=True, exist_ok=True)
        for each, content in self._models.items():
            (directory / "src" / "models" / f"{each}.onnx").write_bytes(content)
        return PlacedApp(name, "1", str(directory), "src/main.py", ai="AI")

    def place(self, *names: str) -> None:
        self.desk.apply([self.app(name) for name in names])

    def ai(self, name: str, app: str = "shop") -> AI:
        """As the app `name` finds it, if it shows the credential of `app`."""
        given = self.desk.worker(self.app(app), 0)
        path, wait_s = str(self.run_dir / INFERENCE), WAIT_S
        return AI(InferenceClient(path, given.credential, "1", wait_s, given.most_bytes, self._start))

    async def _start(self, operation: str, name: str, arguments: list[object]) -> None:
        """What the hub does."""
        assert operation == "start"
        if self._process is None or self._process.poll() is not None:
            self.started += 1
            command = [sys.executable, "-m", "littoral.node.inference_process", "--run-dir", str(self.run_dir)]
            with (self.home / "log").open("ab") as log:
                self._process = subprocess.Popen(  # noqa: ASYNC220 -- it does not wait
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )

    def log(self) -> str:
        return (self.home / "log").read_text()

    def wait(self) -> int:
        """Until the process has ended by itself."""
        assert self._process is not None
        return self._process.wait(WAIT_S)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WAIT_S)


@contextlib.asynccontextmanager
async def running_inference(
    *apps: str, limits: dict[str, int] | None = None, models: Mapping[str, bytes] | None = None
) -> AsyncIterator[Inference]:
    with tempfile.TemporaryDirectory(prefix="lit") as home:
        inference = Inference(Path(home), models or {"twice": twice()}, apps or ("shop",), limits or {})
        try:
            yield inference
        finally:
            inference.stop()
