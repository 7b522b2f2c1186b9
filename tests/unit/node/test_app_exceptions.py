import asyncio

import msgspec
import pytest

from littoral.core.errors import InvalidInput
from littoral.core.function_limits import APP_EXCEPTION_GROUPS
from littoral.core.limits import Limits
from littoral.functions.messages import BindingCall
from littoral.functions.worker.exceptions import KIND, Raised
from littoral.node.app_exceptions import AppExceptions
from tests.support.fakes import FakeClock


def raised(kind: str, place: str = "src/entry.py:1 in fetch", request_id: str = "r-1", count: int = 1) -> Raised:
    return Raised(kind, place, "no", "GET http://a/", request_id, "Traceback", count)


def test_the_same_kind_at_the_same_place_of_a_revision_is_one_group() -> None:
    exceptions = AppExceptions(FakeClock(), Limits())
    exceptions.note("shop", "r1", raised("KeyError", count=3))
    exceptions.note("shop", "r1", raised("OSError"))
    exceptions.note("shop", "r1", raised("KeyError", place="src/entry.py:2 in fetch"))
    exceptions.note("shop", "r2", raised("KeyError"))
    exceptions.note("shop", "r1", raised("KeyError", request_id="r-9"))
    found = exceptions.page("shop").groups
    assert [(each.type, each.revision, each.count) for each in found] == [
        ("KeyError", "r1", 4),
        ("KeyError", "r2", 1),
        ("KeyError", "r1", 1),
        ("OSError", "r1", 1),
    ]
    assert found[0].request_id == "r-9", "the last is the example"
    assert exceptions.page("other").groups == []


def test_the_kind_that_was_silent_for_longest_leaves_and_is_counted() -> None:
    limits = Limits({APP_EXCEPTION_GROUPS.name: 2})
    exceptions = AppExceptions(FakeClock(), limits)
    for kind in ("A", "B", "A", "C"):
        exceptions.note("shop", "r1", raised(kind))
    page = exceptions.page("shop")
    assert ([each.type for each in page.groups], page.forgotten) == (["C", "A"], 1)
    assert limits.reached[APP_EXCEPTION_GROUPS.name] == 1
    exceptions.keep({"other"})
    assert exceptions.page("shop").groups == []


def test_what_a_worker_tells_is_taken_for_its_app_and_nonsense_refused() -> None:
    async def scenario() -> None:
        exceptions = AppExceptions(FakeClock(), Limits())
        told = msgspec.msgpack.decode(msgspec.msgpack.encode([raised("KeyError", count=2)]))
        await exceptions("shop", BindingCall(1, "raised", "r1", told, KIND))
        assert [each.count for each in exceptions.page("shop").groups] == [2]
        huge = ["E" * 10**6, "p" * 10**6, "m" * 10**6, "s" * 10**6, "r" * 10**6, "t" * 10**6, 1]
        await exceptions("shop", BindingCall(2, "raised", "v" * 10**6, [huge], KIND))
        assert len(msgspec.json.encode(exceptions.page("shop"))) < 20_000, "a worker is not trusted to be brief"
        with pytest.raises(InvalidInput):
            await exceptions("shop", BindingCall(3, "raised", "r1", ["x"], KIND))

    asyncio.run(scenario())
