"""The example as it lies on disk."""

from pathlib import Path

import pytest

from littoral.cli.local.example import Example, Recording
from littoral.core.errors import NotFound

FACTORY = Path(__file__).parents[4] / "examples" / "factory"


def test_the_factory_comes_with_documents_devices_and_recordings():
    example = Example(FACTORY)
    assert example.has_devices
    assert [(record.kind, record.name) for record in example.records()] == [
        ("App", "factory"),
        ("Namespace", "factory"),
        ("Rule", "machine"),
        ("Rule", "ambient"),
    ]
    assert {line: recording.rows for line, recording in example.recordings().items()} == {
        "machine": 22_695,
        "ambient": 7267,
    }


def test_a_part_of_a_recording_lasts_from_its_first_reading_to_its_latest():
    assert Example(FACTORY).recordings(13)["machine"] == Recording("machine", 13, 3600.0)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(NotFound, match="give --app"):
        Example(tmp_path / "none")
    with pytest.raises(NotFound, match="--no-devices"):
        Example(tmp_path).recordings()
