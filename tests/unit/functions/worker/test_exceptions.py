import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from littoral.functions.worker.exceptions import KINDS_MOST, ExceptionTeller, Raised, place_of
from littoral.functions.worker.redaction import redactor
from littoral.workers import BindingError


def loaded(folder: Path, path: str, code: str) -> ModuleType:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raised_by(act: object) -> BaseException:
    assert callable(act)
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - whatever it is, is looked at
        return error
    raise AssertionError(act)


def test_the_place_is_the_innermost_of_the_apps_own_code(tmp_path: Path) -> None:
    library = loaded(
        tmp_path, "python_modules/lib.py", "def call(act):\n    return act()\n\ndef fail():\n    raise OSError\n"
    )
    app = loaded(
        tmp_path, "src/entry.py", "def outer(lib):\n    return lib.call(inner)\n\ndef inner():\n    return int('x')\n"
    )
    error = raised_by(lambda: app.outer(library))
    assert place_of(error.__traceback__, str(tmp_path)) == "src/entry.py:5 in inner"
    error = raised_by(library.fail)
    assert place_of(error.__traceback__, str(tmp_path)) == "", "other people's packages are not its own"


class Hub:
    def __init__(self) -> None:
        self.told: list[list[Raised]] = []
        self.is_away = False

    async def tell(self, told: list[object]) -> None:
        if self.is_away:
            raise BindingError("away")
        self.told.append(msgspec.convert(told, list[Raised]))


def test_the_first_is_told_at_once_and_the_same_ones_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        hub = Hub()
        teller = ExceptionTeller("/nowhere", hub.tell, redactor(["the-secret"]))
        teller.note(KeyError("the-secret"), "GET http://a/?the-secret", "r-1")
        while not hub.told:
            await asyncio.sleep(0)
        ((first,),) = hub.told
        assert (first.type, first.message, first.request_id, first.count) == ("KeyError", "'[secret]'", "r-1", 1)
        assert "the-secret" not in f"{first}"
        for _ in range(5):
            teller.note(KeyError("a"), "GET http://a/", "r-2")
        teller.note(BrokenText(), "GET http://a/", "r-3")
        while len(hub.told) < 2:
            await asyncio.sleep(0)
        assert [(each.type.rpartition(".")[2], each.count) for each in hub.told[1]] == [
            ("KeyError", 5),
            ("BrokenText", 1),
        ]

    monkeypatch.setattr("littoral.functions.worker.exceptions.TELL_S", 0.0)
    asyncio.run(scenario())


class BrokenText(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_a_flood_of_kinds_is_bounded_and_a_hub_that_is_away_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        hub = Hub()
        hub.is_away = True
        teller = ExceptionTeller("/nowhere", hub.tell, str)
        for number in range(2 * KINDS_MOST):
            teller.note(type(f"E{number}", (Exception,), {})(), "", "")
        assert teller._telling is not None
        await teller._telling
        hub.is_away = False
        for number in range(2 * KINDS_MOST):
            teller.note(type(f"E{number}", (Exception,), {})(), "", "")
        await teller._telling
        assert [len(each) for each in hub.told] == [KINDS_MOST]

    monkeypatch.setattr("littoral.functions.worker.exceptions.TELL_S", 0.0)
    asyncio.run(scenario())
