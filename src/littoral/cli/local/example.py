"""The example that a local tree runs, as it lies on disk: documents, device simulators, recordings, verification."""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from littoral.cli.desired_files import desired_record, valid_documents
from littoral.core.errors import NotFound
from littoral.fleet.desired import DesiredRecord

DEFAULT_FOLDER = Path("examples/factory")
DEVICES, VERIFY = "devices.py", "verify.py"
RECORDINGS = {
    "machine": "machine_temperature_system_failure.csv",
    "ambient": "ambient_temperature_system_failure.csv",
}
"""The recording of each line of a site."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A line's readings."""

    line: str
    rows: int
    span_s: float
    """From the first reading to the latest, in the recording's own time."""


class Example:
    """A folder like examples/factory."""

    def __init__(self, folder: Path) -> None:
        """Raises NotFound where there is no such folder."""
        if not folder.is_dir():
            raise NotFound(
                "find app", str(folder), "there is no such folder", "Run it in a checkout of Littoral, or give --app"
            )
        self.folder = folder

    @property
    def has_devices(self) -> bool:
        """Whether it comes with device simulators."""
        return (self.folder / DEVICES).is_file()

    def records(self) -> list[DesiredRecord]:
        """Its documents as desired state. Raises InvalidResource, InvalidInput, TooLarge."""
        return [desired_record(found) for found in valid_documents([self.folder])]

    def recordings(self, rows_most: int | None = None) -> dict[str, Recording]:
        """The readings of each line, up to row `rows_most`. Raises NotFound where a recording is missing."""
        return {line: self._recording(line, rows_most) for line in RECORDINGS}

    def _recording(self, line: str, rows_most: int | None) -> Recording:
        path = self.folder / "data" / RECORDINGS[line]
        try:
            with path.open(newline="", encoding="ascii") as file:
                times = [datetime.fromisoformat(row["timestamp"]) for row in csv.DictReader(file)][:rows_most]
        except FileNotFoundError as error:
            raise NotFound("find recording", str(path), "it is missing", "Restore it, or use --no-devices") from error
        return Recording(line, len(times), (max(times) - times[0]).total_seconds())
