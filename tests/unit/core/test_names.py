import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.core.errors import InvalidInput
from littoral.core.names import (
    NODE_NAME,
    STREAM_PART,
    StreamName,
    check_node_name,
    check_stream_path,
    parse_stream_name,
)


@pytest.mark.parametrize("name", ["a", "7", "plant-a", "eu-1", "a" * 63])
def test_node_names_are_dns_labels(name: str):
    assert check_node_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "Plant", "plant_a", "plant.a", "a" * 64, "plant-a\n", "ä", "a/b", "../a"]
)
def test_other_node_names_are_refused(name: str):
    with pytest.raises(InvalidInput, match="1 to 63 characters"):
        check_node_name(name)


@pytest.mark.parametrize("path", ["windows", "kv/config", "_littoral/status", "a.b~c-d", "a/b/c/d/e/f/g/h", "x" * 100])
def test_stream_paths(path: str):
    assert check_stream_path(path) == path


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "-a", "a b", "a\n", "a/b/c/d/e/f/g/h/i", "x" * 101, "a%2fb"]
)
def test_other_stream_paths_are_refused(path: str):
    with pytest.raises(InvalidInput, match="stream name"):
        check_stream_path(path)


def test_a_long_name_is_quoted_in_part():
    with pytest.raises(InvalidInput) as caught:
        check_node_name("x" * 1_000_000)
    assert len(str(caught.value)) < 300


def test_a_stream_name_is_origin_and_path():
    assert parse_stream_name("plant-a/kv/config") == StreamName("plant-a", "kv/config")


def test_a_stream_name_needs_a_node():
    with pytest.raises(InvalidInput, match="it names no node"):
        parse_stream_name("windows")


@given(
    st.from_regex(NODE_NAME, fullmatch=True),
    st.lists(st.from_regex(STREAM_PART, fullmatch=True), min_size=1, max_size=8),
)
def test_every_stream_name_survives_being_written_and_read(origin: str, parts: list[str]):
    name = StreamName(origin, "/".join(parts))
    assert parse_stream_name(str(name)) == name
