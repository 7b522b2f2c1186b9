"""One model in ONNX Runtime: what it takes, and running it. Imported by the process that runs models, and nowhere else: it needs
the packages of the extra `ai`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from littoral.core.errors import InvalidInput, LimitReached, TimedOut
from littoral.functions.inference_messages import Tensor

_TYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.str_,
}
_TAKEN = {"b": "b", "i": "biu", "u": "biu", "f": "biuf", "U": "U"}
"""By kind of the type that a model has: the kinds that become it without loss, but of precision."""
_QUIET = 4
"""Nothing but what ends the process is logged: errors go to the function, and a model is not to write the node's log."""

Array = np.ndarray[Any, np.dtype[Any]]


class Stop:
    """Ends a run from another thread."""

    def __init__(self) -> None:
        self.options = onnxruntime.RunOptions()
        self.options.log_severity_level = _QUIET
        self.is_set = False

    def set(self) -> None:
        """End it between two of the model's steps: one step that takes long is not interrupted."""
        self.is_set = True
        self.options.terminate = True


class OnnxModel:
    """A model, loaded. It may be run by several threads at once, each of them one core of a machine."""

    def __init__(self, name: str, content: bytes) -> None:
        """Raises InvalidInput for what is no model, or one that needs other files."""
        self.name = name
        self.bytes = len(content)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except MemoryError:
            raise
        # What it raises has no class of its own above Exception.
        except Exception as error:
            raise InvalidInput("load model", name, _said(error), "Export it anew, as one file") from error
        self._inputs = {each.name: each for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]

    def run(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any], stop: Stop) -> dict[str, Any]:
        """Its outputs, as lists. Raises InvalidInput where inputs are not as it has them, or where it fails; TimedOut where it was
        stopped; LimitReached for want of memory."""
        given: dict[str, Any] = {**tensors, **values}
        for name in given.keys() - self._inputs.keys():
            raise self._wrong(f'it has no input "{name}"; it has: {", ".join(map(self._expected, self._inputs))}')
        for name in self._inputs.keys() - given.keys():
            raise self._wrong(f"it needs the input {self._expected(name)}, which was not given")
        try:
            arrays = {name: self._array(name, value) for name, value in given.items()}
            found = self._session.run(self._outputs, arrays, stop.options)
            return {name: _plain(value) for name, value in zip(self._outputs, found, strict=True)}
        except (InvalidInput, MemoryError):
            raise
        # As above.
        except Exception as error:
            if stop.is_set:
                raise TimedOut("run model", self.name, "it was stopped") from error
            if "bad allocation" in str(error) or "Failed to allocate memory" in str(error):
                raise LimitReached(
                    "run model", self.name, "there is not so much memory; see the limit inference-memory-bytes"
                ) from error
            raise self._wrong(_said(error)) from error

    # Inputs

    def _array(self, name: str, value: Any) -> Array:
        port = self._inputs[name]
        expected = _TYPES.get(port.type)
        if expected is None:
            raise self._wrong(f'its input "{name}" is of type {port.type}, which functions cannot give')
        array = self._decoded(name, value, expected) if isinstance(value, Tensor) else self._listed(name, value)
        kind = np.dtype(expected).kind
        if array.size and array.dtype.kind not in _TAKEN[kind]:
            raise self._not_as_expected(name, array)
        shape = port.shape
        fits = all(not isinstance(size, int) or size == got for size, got in zip(shape, array.shape, strict=False))
        if len(shape) != array.ndim or not fits:
            raise self._not_as_expected(name, array)
        if kind in "iu" and array.size:
            bounds = np.iinfo(np.dtype(expected))
            if int(array.min()) < bounds.min or int(array.max()) > bounds.max:
                raise self._wrong(f"its input {self._expected(name)} was given numbers that do not fit into it")
        # Numbers that are too large for fewer bits are infinite then, as everywhere.
        with np.errstate(over="ignore"):
            return array.astype(object if kind == "U" else expected)

    def _listed(self, name: str, value: Any) -> Array:
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError):
            array = np.empty(0, object)
        if array.dtype.kind not in "biufU":
            raise self._wrong(
                f"its input {self._expected(name)} was given lists that are no array: their lengths or types differ"
            )
        return array

    def _decoded(self, name: str, tensor: Tensor, expected: type[np.generic]) -> Array:
        """Raises InvalidInput."""
        try:
            dtype = np.dtype(tensor.dtype or expected)
            if dtype.kind not in "biuf":
                raise self._wrong(f"its input {self._expected(name)} was given bytes of type {dtype}; give a list")
            array = np.frombuffer(tensor.data, dtype)
            return array.reshape(self._shape_of(name, array.size) if tensor.shape is None else tensor.shape)
        except (TypeError, ValueError) as error:
            size = len(tensor.data)
            raise self._wrong(f"its input {self._expected(name)} was given {size} bytes, which are not that") from error

    def _shape_of(self, name: str, count: int) -> list[int]:
        """Of so many numbers: what the model leaves open is 1, but for the first of that. Raises ValueError."""
        sizes = [size if isinstance(size, int) else None for size in self._inputs[name].shape]
        if None not in sizes:
            return [size for size in sizes if size is not None]
        first = sizes.index(None)
        return [-1 if index == first else size or 1 for index, size in enumerate(sizes)]

    def _not_as_expected(self, name: str, array: Array) -> InvalidInput:
        kind = "text" if array.dtype.kind in "UO" else str(array.dtype)
        return self._wrong(f"its input {self._expected(name)} was given {kind} {list(array.shape)}")

    def _expected(self, name: str) -> str:
        port = self._inputs[name]
        dtype = _TYPES.get(port.type)
        kind = port.type if dtype is None else "text" if dtype is np.str_ else np.dtype(dtype).name
        sizes = ", ".join(str(size) if isinstance(size, int) else "any" for size in port.shape)
        return f'"{name}" ({kind} [{sizes}])'

    def _wrong(self, cause: str) -> InvalidInput:
        return InvalidInput("run model", self.name, cause)


def _plain(value: Any) -> Any:
    """What msgpack can carry: sequences and maps of ONNX hold numpy's values, too."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    return value


def _said(error: Exception) -> str:
    """What ONNX Runtime says, on one line, and not all of it."""
    text = " ".join(str(error).split())
    return f"ONNX Runtime says: {text[:300]}"
