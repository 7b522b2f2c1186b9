import stat
from pathlib import Path

import pytest

from littoral.core.errors import StartupError
from littoral.drivers.disk import LocalDisk
from littoral.security.operator import TOKEN_PATH, is_operator, load_or_create_operator_token
from littoral.testing.random import SeededRandom


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    disk = LocalDisk(tmp_path)
    token = load_or_create_operator_token(disk, SeededRandom(1))
    assert load_or_create_operator_token(disk, SeededRandom(2)) == token
    assert len(token) == 43
    assert stat.S_IMODE((tmp_path / TOKEN_PATH).stat().st_mode) == 0o600


def test_a_damaged_file_stops_the_node_with_a_reason(tmp_path: Path) -> None:
    disk = LocalDisk(tmp_path)
    disk.write(TOKEN_PATH, b"\n", secret=True)
    with pytest.raises(StartupError, match="it is too short to be one. Delete the file"):
        load_or_create_operator_token(disk, SeededRandom(1))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("Bearer secret", True),
        ("bearer  secret ", True),
        ("Bearer secre", False),
        ("Bearer secrét", False),
        ("Bearer", False),
        ("Basic secret", False),
        ("secret", False),
        ("", False),
        (None, False),
    ],
)
def test_who_is_the_operator(header: str | None, accepted: bool) -> None:
    assert is_operator(header, "secret") is accepted
