"""The example's device simulators: ordinary MQTT clients in processes of their own, one for each line of each site."""

import asyncio
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from littoral.cli.local.child import start_python
from littoral.cli.local.example import DEVICES, Example, Recording
from littoral.core.clock import Clock
from littoral.core.errors import StartupError
from littoral.core.tasks import Tasks
from littoral.node.layout import write_json

PROGRESS_FILE = "devices.json"
"""Below the tree's state directory: how many rows each device has had acknowledged, so that a restart goes on there."""
PASSWORD_VARIABLE = "MQTT_PASSWORD"
STOP_S = 5.0
SILENT_S = 25.0
"""A simulator reports once a second, and after each attempt to connect, which may take ten."""


class DeviceReport(msgspec.Struct, frozen=True):
    """What a simulator says of itself, once a second."""

    rows: int
    acknowledged: int
    bytes: int
    """Of topics and payloads, acknowledged."""
    connections: int
    done: bool


class Device:
    """One simulator."""

    def __init__(self, site: str, recording: Recording, first_row: int) -> None:
        self.site = site
        self.line = recording.line
        self.first_row = first_row
        self.rows = recording.rows
        """Of the recording, up to where it is played."""
        self.report = DeviceReport(max(0, self.rows - first_row + 1), 0, 0, 0, first_row > self.rows)
        self.process: asyncio.subprocess.Process | None = None
        self.has_ended = False
        """Whether its process has, and all that it said is read."""
        self.heard_s = 0.0
        """When it reported last, by the monotonic clock."""

    @property
    def name(self) -> str:
        """site/line."""
        return f"{self.site}/{self.line}"

    @property
    def played(self) -> int:
        """Rows that are acknowledged, from the recording's first."""
        return self.first_row - 1 + self.report.acknowledged


class Devices:
    """All simulators of a tree."""

    def __init__(self, example: Example, state_dir: Path, log: Path, clock: Clock) -> None:
        self._clock = clock
        self._script = (example.folder / DEVICES).absolute()
        self._progress = state_dir / PROGRESS_FILE
        self._log = log
        self._failures: list[BaseException] = []
        self._tasks = Tasks(self._failures.append)
        self.all: list[Device] = []

    def __iter__(self) -> Iterator[Device]:
        return iter(self.all)

    async def start(
        self,
        brokers: Mapping[str, str],
        recordings: Mapping[str, Recording],
        speeds: Mapping[str, float],
        login: Mapping[str, str],
    ) -> None:
        """Begin, each where it was before.

        brokers: site -> "host:port"; speeds: line -> seconds of the recording a second; login: username, password.
        """
        before = self._read_progress()
        for site, address in brokers.items():
            for line, recording in recordings.items():
                device = Device(site, recording, before.get(f"{site}/{line}", 0) + 1)
                self.all.append(device)
                if not device.report.done:
                    await self._spawn(device, address, speeds[line], login)

    @property
    def fraction(self) -> float:
        """How far the replay is: the slowest device's part."""
        return min((device.played / device.rows for device in self.all), default=1.0)

    @property
    def done(self) -> bool:
        """Whether every reading is acknowledged."""
        return all(device.report.done for device in self.all)

    def describe(self) -> str:
        """How far each is, for whoever has to find out why one is not further."""
        return ", ".join(f"{device.name} {device.played} of {device.rows}" for device in self.all)

    def check(self) -> None:
        """Raises StartupError if a simulator ended before it was done, or says nothing any more."""
        for failure in self._failures:
            raise failure
        for device in self.all:
            process = device.process
            if process is None or device.report.done:
                continue
            silent_s = self._clock.monotonic_s() - device.heard_s
            if device.has_ended:
                raise self._lost(device, f"its device ended with status {process.returncode}")
            if silent_s > SILENT_S:
                # It writes into the log where it hangs, and ends.
                process.send_signal(signal.SIGABRT)
                raise self._lost(device, f"its device has not reported for {silent_s:.0f} s")

    def _lost(self, device: Device, cause: str) -> StartupError:
        return StartupError(
            "replay", device.name, f"{cause}, at row {device.played} of {device.rows}", f"See {self._log}"
        )

    async def stop(self) -> None:
        """End all; what is not acknowledged is sent again next time."""
        running = [device.process for device in self.all if device.process is not None]
        for process in running:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in running:
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
        await self._tasks.stop()
        self._write_progress()

    async def _spawn(self, device: Device, address: str, speed: float, login: Mapping[str, str]) -> None:
        host, _, port = address.rpartition(":")
        arguments = ["--host", host, "--port", port, "--site", device.site, "--line", device.line]
        arguments += ["--speed", f"{speed:g}", "--from-row", str(device.first_row), "--to-row", str(device.rows)]
        arguments += ["--username", login["username"]]
        # Not an argument: those can be read by every user of the machine.
        secret = {PASSWORD_VARIABLE: login["password"]}
        device.process = await start_python(["-X", "faulthandler", str(self._script), *arguments], self._log, secret)
        device.heard_s = self._clock.monotonic_s()
        self._tasks.start(self._read_reports(device), f"device {device.name}")

    async def _read_reports(self, device: Device) -> None:
        assert device.process is not None
        assert device.process.stdout is not None
        while line := await device.process.stdout.readline():
            device.report = msgspec.json.decode(line, type=DeviceReport)
            device.heard_s = self._clock.monotonic_s()
            self._write_progress()
        await device.process.wait()
        device.has_ended = True

    def _read_progress(self) -> dict[str, int]:
        try:
            return msgspec.json.decode(self._progress.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}

    def _write_progress(self) -> None:
        if self.all:
            write_json(self._progress, {device.name: device.played for device in self.all})
