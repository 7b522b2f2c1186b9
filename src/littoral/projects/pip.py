"""Wheels from where pip finds them, in its own process. Nothing of a package is run: only wheels are taken."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from littoral.core.errors import Unavailable
from littoral.projects.finding import Finding
from littoral.projects.lock import Pin
from littoral.projects.requirements import Requirement, normal_name
from littoral.projects.target import Target

_MISSING = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)")
_VERSIONS = re.compile(
    r"Could not find a version that satisfies the requirement [^\n]*?(?: \(from (?!versions)([A-Za-z0-9._-]+)[^)]*\))?"
    r" \(from versions: ([^)]*)\)"
)
_CONFLICT = re.compile(r"The conflict is caused by:\n((?: +.*\n)+)")
_UNREACHED = re.compile(r"WARNING: Retrying \(.*? after connection broken by '(.*?)'(?:: |$)", re.MULTILINE)
VERSIONS_SHOWN = 5
OWN_WHEELS = "wheels"
"""In a project, where it keeps wheels that no index has."""


class NoWheels(Exception):
    """The requirements cannot be met; `finding` says which, where and why."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(str(finding))


def download(wanted: Sequence[Requirement], target: Target, folder: Path, own: Path) -> None:
    """Put the wheels of `wanted`, and of all that they need, into `folder`. own: a folder, which need not be there, with wheels that
    no index has. Raises NoWheels, Unavailable."""
    text = "".join(f"{each.text}\n" for each in wanted if not each.is_constraint)
    constraints = "".join(f"{each.text}\n" for each in wanted if each.is_constraint)
    (folder / "requirements.txt").write_text(text, encoding="utf-8")
    (folder / "constraints.txt").write_text(constraints, encoding="utf-8")
    files = ["-r", str(folder / "requirements.txt"), "-c", str(folder / "constraints.txt")]
    said = _run([*target.options(), *_also(own), *files], folder)
    if said is not None:
        raise NoWheels(_finding(said, wanted, target))


def download_locked(pins: Sequence[Pin], target: Target, folder: Path, own: Path, lock: str) -> None:
    """Put exactly these wheels into `folder`, by their hashes. lock: the file that says which. Otherwise as `download`."""
    (folder / "requirements.txt").write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
    options = ["--no-deps", "-r", str(folder / "requirements.txt")]
    said = _run([*target.options(), *_also(own), *options], folder)
    if said is not None:
        cause = f"what it lists cannot be had: {said}"
        raise NoWheels(Finding(lock, None, cause, "Delete it to look for the versions that there are, and build again"))


def _also(own: Path) -> list[str]:
    return ["-f", str(own)] if own.is_dir() else []


def _run(options: Sequence[str], folder: Path) -> str | None:
    """None where all was found, or what pip says. Raises Unavailable where nobody could be asked."""
    # -P: a module of the folder that somebody builds in must not be taken for one of pip's.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-input", "--disable-pip-version-check"]
    command += ["--no-color", "--progress-bar=off", f"--dest={folder}", *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return None
    if "No module named pip" in done.stderr:
        raise Unavailable(
            "get packages with", sys.executable, "pip is not installed there", "`python -m ensurepip` installs it"
        )
    if (unreached := _UNREACHED.search(done.stderr)) is not None:
        # To pip an index that does not answer has no packages.
        raise Unavailable("get packages from", "pip's index", unreached[1], "Check the network and pip's configuration")
    if (conflict := _CONFLICT.search(done.stdout)) is not None:
        return "; ".join(line.strip() for line in conflict[1].splitlines())
    return _errors(done.stderr) or f"pip ended with status {done.returncode}"


def _errors(said: str) -> str:
    """pip's errors, without its warnings and hints."""
    lines = [line.removeprefix("ERROR: ").strip() for line in said.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith(("WARNING:", "[notice]", "hint:")))


def _finding(said: str, wanted: Sequence[Requirement], target: Target) -> Finding:
    """Which requirement is the trouble, as far as pip names it."""
    missing = _MISSING.search(said)
    if missing is None:
        file = wanted[0].file if wanted else ""
        return Finding(file, None, f"its packages cannot be had together: {said}")
    name = normal_name(missing[1])
    detail = _VERSIONS.search(said)
    parent = normal_name(detail[1]) if detail is not None and detail[1] else None
    line = next((each for each in wanted if each.name in {name, parent}), wanted[0])
    needed = f", which {parent} needs" if parent is not None and parent != name else ""
    return Finding(
        line.file,
        line.line,
        f"there is no wheel of {name}{needed} for {target}{_others(detail)}",
        "Check name and version; or choose another package, or make a wheel of it yourself: `pip wheel --no-deps --wheel-dir "
        f"{OWN_WHEELS} {name}` in the project's folder. A build runs no code of a package",
    )


def _others(detail: re.Match[str] | None) -> str:
    """The versions that there are wheels of."""
    versions = detail[2].split(", ") if detail is not None and detail[2] != "none" else []
    return f" in the version asked for; there are {', '.join(versions[-VERSIONS_SHOWN:])}" if versions else ""
