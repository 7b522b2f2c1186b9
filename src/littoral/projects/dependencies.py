"""A project's dependencies as files of its bundle, the same ones at every build."""

import tempfile
from pathlib import Path

from msgspec import Struct

from littoral.core.errors import InvalidInput
from littoral.projects.finding import Finding, refuse
from littoral.projects.lock import lock_name, lock_text, pin_of, read_lock
from littoral.projects.pip import NoWheels, download, download_locked
from littoral.projects.requirements import read_requirements
from littoral.projects.target import Target
from littoral.projects.wheels import unpack


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
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="littoral-build-") as place:
        downloads = Path(place)
        try:
            if locked is None:
                download(wanted, target, downloads)
            else:
                download_locked(locked, target, downloads, lock.name)
        except NoWheels as error:
            raise refuse(str(folder), [error.finding]) from error
        wheels = sorted(downloads.glob("*.whl"))
        pins = [pin_of(wheel) for wheel in wheels]
        for wheel in wheels:
            files.update(unpack(wheel))
    if locked is None:
        _write(lock, lock_text(wanted, pins))
    return Dependencies(files, [f"{pin.name} {pin.version}" for pin in sorted(pins)], requirements.warnings)


def _write(lock: Path, text: str) -> None:
    try:
        lock.write_text(text, encoding="utf-8")
    except OSError as error:
        cause = error.strerror or str(error)
        raise InvalidInput("write", str(lock), cause, "A build keeps there which packages it took") from error
