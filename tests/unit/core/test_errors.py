from collections.abc import Iterator

import pytest

from littoral.core import errors
from littoral.core.errors import Conflict, Diverged, InvalidResource, LittoralError, NotFound, StorageCorrupt


def descendants(parent: type[LittoralError]) -> Iterator[type[LittoralError]]:
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from descendants(child)


def test_message_names_operation_object_cause_and_remedy():
    error = NotFound("read stream", "plant-a/windows", "there is no such stream", "See littoral stream list")
    assert str(error) == "cannot read stream plant-a/windows: there is no such stream. See littoral stream list"


def test_message_without_a_remedy_ends_with_the_cause():
    assert str(NotFound("read stream", "a/b", "it is not here")) == "cannot read stream a/b: it is not here"


def test_message_without_an_object_has_no_gap():
    assert str(Conflict("start", "", "it runs already")) == "cannot start: it runs already"


def test_fields_are_kept_for_programs():
    error = LittoralError("open", "store.db", "it is locked", "Stop the other node")
    assert (error.operation, error.subject, error.cause, error.remedy) == (
        "open",
        "store.db",
        "it is locked",
        "Stop the other node",
    )


def test_a_handler_of_the_general_error_gets_the_special_one():
    with pytest.raises(Conflict) as caught:
        raise Diverged("append", "a/b", "lineages differ")
    assert caught.value.status == 409


@pytest.mark.parametrize("kind", list(descendants(LittoralError)), ids=lambda kind: kind.__name__)
def test_the_drawn_tree_is_the_real_one(kind: type[LittoralError]):
    """The module's docstring shows each class with its status below the class it derives from."""
    assert errors.__doc__ is not None
    drawn = {line.strip("│├└─ ").partition(" ")[0]: line for line in errors.__doc__.splitlines() if "─ " in line}
    assert kind.__name__ in drawn
    line = drawn[kind.__name__]
    assert f" {kind.status} " in f"{line} "
    depth = len(kind.__mro__) - len(LittoralError.__mro__)
    assert line.index(kind.__name__) == 4 + 3 * depth
    assert kind.title
    assert kind.__doc__


def test_corruption_is_not_reported_as_a_full_disk():
    assert StorageCorrupt.status == 500
    assert InvalidResource.status == 400
