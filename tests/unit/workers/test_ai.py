"""What `env.AI.run` passes on, and what it refuses before that."""

import asyncio

import numpy as np
import pytest

from littoral.workers.ai import AI, AIError, ModelInputs, Outputs


class Runner:
    """Keeps what is asked."""

    async def run(self, model: str, inputs: ModelInputs) -> Outputs:
        self.asked = (model, inputs.tensors, inputs.values)
        return {"y": 1}


def asked(model, inputs=None):
    runner = Runner()
    assert asyncio.run(AI(runner).run(model, inputs, {"gateway": {"id": "x"}})) == {"y": 1}
    return runner.asked


def test_lists_travel_as_they_are_and_arrays_as_they_lie_in_memory():
    array = np.array([[1, 2], [3, 4]], np.int16)
    name, tensors, values = asked(
        "@app/m", {"a": [[1, 2.5]], "b": "text", "c": array.T, "d": bytearray(b"12"), "e": np.float32(1)}
    )
    assert (name, values) == ("m", {"a": [[1, 2.5]], "b": "text"})
    assert tensors["c"] == ("int16", [2, 2], np.array([[1, 3], [2, 4]], np.int16).tobytes())
    assert tensors["d"] == ("", None, b"12")
    assert tensors["e"] == ("float32", [], np.float32(1).tobytes())
    assert asked("m") == ("m", {}, {})


@pytest.mark.parametrize("name", ["@cf/meta/llama", "../m", "a/b", "", ".m"])
def test_models_are_files_of_the_app(name):
    with pytest.raises(AIError, match=r"Put models/NAME\.onnx beside its main module"):
        asked(name)


@pytest.mark.parametrize("value", [None, {"a": 1}, [1, object()], {1}])
def test_what_is_no_array_is_refused(value):
    with pytest.raises(AIError, match='input "x" is of'):
        asked("m", {"x": value})
    with pytest.raises(AIError, match="its inputs are a mapping of names; not list"):
        asked("m", [value])
