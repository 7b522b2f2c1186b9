"""Which streams a pattern of a node's document means."""

import pytest

from littoral.core.names import StreamName
from littoral.core.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "stream", "meant"),
    [
        ("*", "a/raw/x", True),
        ("a/raw/x", "a/raw/x", True),
        ("a/raw/x", "a/raw/xy", False),
        ("a/raw/x", "b/raw/x", False),
        ("a/raw/*", "a/raw/x", True),
        ("a/raw/*", "a/rawer", False),
        ("*/raw/*", "b/raw/x/y", True),
        ("*/raw/*", "b/x/raw/y", False),
        ("*/readings", "b/readings", True),
        ("a/*", "a/b", True),
        ("a/*", "aa/b", False),
    ],
)
def test_a_pattern(pattern, stream, meant):
    origin, _, path = stream.partition("/")
    assert matches(["no/other", pattern], StreamName(origin, path)) is meant
