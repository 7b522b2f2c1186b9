"""The lock of a project's dependencies for one target: exactly which wheels belong to it.

A file of requirements as pip reads it, each pinned to a version and the hash of its wheel. Its head says what it was made of:
once the requirements change, it is made anew.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from littoral.core.errors import InvalidInput
from littoral.projects.requirements import Requirement, normal_name
from littoral.projects.target import Target

_HEAD = (
    "# Written by `littoral build`; keep it with the project. To look for newer versions, delete it and build again.\n"
)
_MADE_OF = "# made of: "
_PIN = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})")


class Pin(Struct, frozen=True, order=True):
    """One wheel."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def lock_name(target: Target) -> str:
    """The name of the lock's file."""
    return f"littoral-{target.tag}.lock"


def read_lock(path: Path, wanted: Sequence[Requirement]) -> list[Pin] | None:
    """The wheels that are locked; None where there is no lock, or one of other requirements. Raises InvalidInput."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("read", str(path), str(error), "Delete it; the next build makes a new one") from error
    if _MADE_OF + _digest(wanted) not in lines:
        return None
    pins: list[Pin] = []
    for number, line in enumerate(lines, 1):
        pin = _PIN.fullmatch(line)
        if pin is not None:
            pins.append(Pin(*pin.groups()))
        elif line and not line.startswith("#"):
            cause = f"line {number} is not NAME==VERSION --hash=sha256:DIGEST"
            raise InvalidInput("read", str(path), cause, "Delete it; the next build makes a new one")
    return pins


def lock_text(wanted: Sequence[Requirement], pins: Iterable[Pin]) -> str:
    """A lock."""
    lines = [f"{_MADE_OF}{_digest(wanted)}", *map(str, sorted(pins))]
    return _HEAD + "".join(f"{line}\n" for line in lines)


def pin_of(wheel: Path) -> Pin:
    """What a wheel's file is: its name and version by its file name (PEP 427), and the hash of its content."""
    name, version, *_ = wheel.name.split("-")
    with wheel.open("rb") as file:
        return Pin(normal_name(name), version, hashlib.file_digest(file, "sha256").hexdigest())


def _digest(wanted: Sequence[Requirement]) -> str:
    """Of what was asked for, wherever it is written."""
    texts = sorted(f"{'-c ' if each.is_constraint else ''}{' '.join(each.text.split())}\n" for each in wanted)
    return f"sha256:{hashlib.sha256(''.join(texts).encode()).hexdigest()}"
