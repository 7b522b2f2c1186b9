"""What of a node's output a developer sees."""

from pathlib import Path

import littoral
from littoral.cli.dev.lines import Lines, request_line

FUNCTIONS = Path(littoral.__file__).parent / "functions"


def shown(*lines: str) -> list[str]:
    view = Lines("shop", Path("/projects/shop"))
    return [text for text in map(view.shown, lines) if text is not None]


def test_lines_of_the_app_are_shown_and_those_of_others_are_not():
    assert shown("shop-0: hello", "other-0: hello", "shop: hub ended with status 1") == ["hello"]


def test_a_node_that_is_well_says_nothing():
    assert shown("2026-05-01 10:00:00,123 INFO littoral.hub: dev is up") == []
    assert shown("2026-05-01 10:00:00,123 WARNING littoral.hub: dev: disk") == ["node: littoral.hub: dev: disk"]


def test_files_are_named_where_the_developer_has_them():
    there = "/tmp/lit1/d/apps/shop-0123456789abcdef"
    assert shown(f'shop-0:   File "{there}/src/entry.py", line 7') == ['  File "/projects/shop/src/entry.py", line 7']
    assert shown('shop-0:   File "/run/littoral/code/a.py", line 1') == ['  File "/projects/shop/a.py", line 1']
    assert shown(f"shop-0: {there}/python_modules/pkg/a.py:3") == ["python_modules/pkg/a.py:3"]


def test_frames_of_the_platform_are_left_out():
    assert shown(
        "shop-0: [r1] Traceback (most recent call last):",
        f'shop-0: [r1]   File "{FUNCTIONS}/worker.py", line 205, in _answer',
        "shop-0: [r1]     response = await handler()",
        "shop-0: [r1]                ^^^^^^^^^^^^^^^",
        'shop-0: [r1]   File "/run/littoral/code/a.py", line 2, in fetch',
        "shop-0: [r1]     1 / 0",
        f'shop-0: [r1]   File "{FUNCTIONS}/worker.py", line 9, in more',
        "shop-0: [r1]     more()",
        "shop-0: [r1] ZeroDivisionError: division by zero",
    ) == [
        "[r1] Traceback (most recent call last):",
        '[r1]   File "/projects/shop/a.py", line 2, in fetch',
        "[r1]     1 / 0",
        "[r1] ZeroDivisionError: division by zero",
    ]


def test_what_would_move_the_cursor_is_escaped():
    assert shown("shop-0: a\x1b[2Jb\tc") == ["a\\x1b[2Jb\tc"]


def test_requests():
    line = b'{"time": "x", "method": "GET", "path": "/a", "status": 200, "duration_ms": 1.25, "client": "x"}'
    assert request_line(line) == "GET /a 200 1.2 ms"
    assert request_line(b'{"dropped": 3}') is None
    assert request_line(b"cut o") is None
