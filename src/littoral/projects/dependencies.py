"""A project's dependencies as files of its bundle, the same ones at every build."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from littoral.core.errors import InvalidInput
from littoral.projects.finding import Finding, refuse
from littoral.projects.ignored import OUTPUT_FOLDER
from littoral.projects.lock import Pin, lock_name, lock_text, pin_of, read_lock
from littoral.projects.pip import OWN_WHEELS, NoWheels, download, download_locked
from littoral.projects.requirements import Requirement, read_requirements
from littoral.projects.target import Target
from littoral.projects.wheels import unpack

WHEELS = "wheels"
"""Where a project keeps those of its last build, so that the next one need not ask for them."""


class Dependencies(Struct, frozen=True):
    """What other people's packages add to a bundle."""

    files: dict[str, bytes]
    packages: list[str]
    """Names and versions."""
    warnings: list[Finding]


def resolve(folder: Path, target: Target) -> Dependencies:
    """The packages that the project in `folder` lists, as its lock has them; where it has none that fits, one is written.

    Raises: InvalidResource, InvalidInput, TooLarge, Unavailable.
    """
    requirements = read_requirements(folder, target)
    if requirements.findings:
        raise refuse(str(folder), requirements.findings)
    wanted = requirements.wanted
    if not any(not each.is_constraint for each in wanted):
        return Dependencies({}, [], requirements.warnings)
    lock = folder / lock_name(target)
    locked = read_lock(lock, wanted)
    kept = folder / OUTPUT_FOLDER / WHEELS
    wheels = None if locked is None else _kept(kept, locked)
    try:
        if wheels is None:
            wheels = _downloaded(kept, folder / OWN_WHEELS, wanted, locked, target, lock.name)
    except NoWheels as error:
        raise refuse(str(folder), [error.finding]) from error
    pins = list(wheels)
    files: dict[str, bytes] = {}
    for wheel in wheels.values():
        files.update(unpack(wheel))
    if locked is None:
        _write(lock, lock_text(wanted, pins))
    return Dependencies(files, [f"{pin.name} {pin.version}" for pin in sorted(pins)], requirements.warnings)


def _kept(place: Path, locked: Sequence[Pin]) -> dict[Pin, Path] | None:
    """The locked wheels, if a former build has kept all of them."""
    there = {pin_of(wheel): wheel for wheel in sorted(place.glob("*.whl"))}
    return {pin: there[pin] for pin in locked} if there.keys() >= set(locked) else None


def _downloaded(
    place: Path, own: Path, wanted: Sequence[Requirement], locked: Sequence[Pin] | None, target: Target, lock: str
) -> dict[Pin, Path]:
    """The wheels from where pip finds them, kept for the next build. Raises NoWheels, Unavailable, InvalidInput."""
    with tempfile.TemporaryDirectory(prefix="littoral-build-") as directory:
        downloads = Path(directory)
        if locked is None:
            download(wanted, target, downloads, own.absolute())
        else:
            download_locked(locked, target, downloads, own.absolute(), lock)
        found = sorted(downloads.glob("*.whl"))
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            return {pin_of(wheel): Path(shutil.move(wheel, place)) for wheel in found}
        except OSError as error:
            raise InvalidInput(
                "write", str(place), error.strerror or str(error), "A build keeps packages there"
            ) from error


def _write(lock: Path, text: str) -> None:
    try:
        lock.write_text(text, encoding="utf-8")
    except OSError as error:
        cause = error.strerror or str(error)
        raise InvalidInput("write", str(lock), cause, "A build keeps there which packages it took") from error
