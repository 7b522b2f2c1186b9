"""The machines whose packages are wanted: a version of Python, and a kind of processor."""

import platform
import re
import sys

from msgspec import Struct

from littoral.core.errors import InvalidInput

GLIBC_MINOR = 28
"""Wheels for glibc 2.28 and older run on every Linux that is still cared for: Debian 10, RHEL 8, Ubuntu 20.04."""

_OLDEST_MINOR = {"x86_64": 5, "aarch64": 17}
"""The oldest glibc that there are tags for (PEP 600)."""
_OTHER_TAGS = {
    "x86_64": ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"),
    "aarch64": ("manylinux2014_aarch64",),
}
"""By the names of before PEP 600."""
_SAME = {"amd64": "x86_64", "arm64": "aarch64"}
_PYTHON = re.compile(r"3\.(\d{1,2})")


class Target(Struct, frozen=True):
    """Where a revision is to run."""

    python: str
    """As in "3.11"."""
    processor: str

    def __str__(self) -> str:
        return f"CPython {self.python} on Linux {self.processor} (glibc 2.{GLIBC_MINOR} or older)"

    @property
    def minor(self) -> int:
        """Of Python 3."""
        return int(self.python.removeprefix("3."))

    @property
    def tag(self) -> str:
        """For names of files."""
        return f"cp{self.python.replace('.', '')}-{self.processor}"

    def options(self) -> list[str]:
        """What tells pip about it."""
        tags = [
            f"manylinux_2_{minor}_{self.processor}"
            for minor in range(GLIBC_MINOR, _OLDEST_MINOR[self.processor] - 1, -1)
        ]
        tags += _OTHER_TAGS[self.processor]
        chosen = ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}"]
        return chosen + [f"--platform={tag}" for tag in tags]


def target_of(python: str | None, processor: str | None) -> Target:
    """A target by its parts; None for what runs this. Raises InvalidInput."""
    version = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    if not _PYTHON.fullmatch(version):
        raise InvalidInput("build for Python", version, 'it is no version such as "3.11"')
    machine = (processor or platform.machine()).lower()
    machine = _SAME.get(machine, machine)
    if machine not in _OLDEST_MINOR:
        raise InvalidInput("build for the processor", machine, f"expected one of {', '.join(_OLDEST_MINOR)}")
    return Target(version, machine)
