"""`env.<BINDING>` for models: `run` as Workers AI has it, for models that are files of the app."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from littoral.workers.binding import BindingError

OWN = "@app/"
"""What the name of a model of the app's own may begin with."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Outputs = dict[str, Any]
"""By name: numbers, texts, and nested lists of these."""


class AIError(BindingError):
    """A model was not run; the message says why and what to do."""


@dataclass(slots=True)
class ModelInputs:
    """By name, each in one of the two."""

    tensors: dict[str, tuple[str, list[int] | None, bytes]] = field(default_factory=dict)
    """Type as numpy calls it, shape, content; "" and None are as the model has it."""
    values: dict[str, Any] = field(default_factory=dict)


class ModelRunner(Protocol):
    """Runs models. `functions` implements it over a socket; tests, in memory."""

    async def run(self, model: str, inputs: ModelInputs) -> Outputs:
        """Raises AIError."""
        ...


class AI:
    """The models of this app: the files models/NAME.onnx beside its main module."""

    __slots__ = ("_runner",)

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner

    async def run(
        self, model: str, inputs: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
    ) -> Outputs:
        """Run a model: "NAME" or "@app/NAME".

        inputs: by the names that the model gives them; numbers, texts, nested lists of these, numpy's arrays, or bytes, which are
        the array as it lies in memory. options: Workers AI's, of which none means anything here.

        Returns its outputs by name, arrays as nested lists. Raises AIError.
        """
        name = str(model).removeprefix(OWN)
        if not _NAME.fullmatch(name):
            raise AIError(
                f'cannot run model "{str(model)[:100]}": models are files of the app. Put models/NAME.onnx beside its main'
                " module, and run NAME"
            )
        if inputs is not None and not isinstance(inputs, Mapping):
            raise AIError(f"cannot run model {name}: its inputs are a mapping of names; not {type(inputs).__name__}")
        return await self._runner.run(name, _sorted_out(name, inputs or {}))


def _sorted_out(model: str, given: Mapping[str, Any]) -> ModelInputs:
    """What can travel. Raises AIError."""
    inputs = ModelInputs()
    for name, value in given.items():
        if isinstance(value, bytes | bytearray | memoryview):
            inputs.tensors[str(name)] = ("", None, bytes(value))
        elif hasattr(value, "dtype") and hasattr(value, "tobytes"):
            # An array, or one number, of numpy's; apps bring their own numpy.
            inputs.tensors[str(name)] = (str(value.dtype), [int(each) for each in value.shape], value.tobytes())
        else:
            if not _is_plain(value):
                raise AIError(
                    f'cannot run model {model}: input "{name}" is of {type(value).__name__}; give numbers, texts, lists of these,'
                    " an array of numpy's, or bytes"
                )
            inputs.values[str(name)] = value
    return inputs


def _is_plain(value: Any) -> bool:
    """Whether it is made of lists, numbers and texts."""
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return isinstance(value, bool | int | float | str)
