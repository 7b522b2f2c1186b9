"""Packages made for a test, and a folder in which pip finds these and no others."""

import io
import os
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    needs: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """A wheel with a module of the package's name."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content = {
        f"{name}.py": f'VERSION = "{version}"\n',
        **(files or {}),
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {each}\n" for each in needs),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},,\n" for path in (*content, f"{info}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel


def make_source(folder: Path, name: str, version: str = "1.0") -> None:
    """A package of which there is no wheel. Who builds it leaves a trace."""
    folder.mkdir(parents=True, exist_ok=True)
    setup = f"open({str(folder / 'was-run')!r}, 'w').close()\nfrom setuptools import setup\nsetup(name={name!r}, version={version!r})\n"
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
        for path, text in {"setup.py": setup, "PKG-INFO": f"Name: {name}\nVersion: {version}\n"}.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def only_from(folder: Path) -> dict[str, str]:
    """Variables that have pip look into `folder` and nowhere else."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return mine | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}


def installed_wheels(folder: Path, *names: str) -> None:
    """Wheels of what is installed here, and of all that these need, made of the files that they were installed from."""
    left, done = list(names), set()
    while left:
        name = left.pop()
        if name in done:
            continue
        done.add(name)
        _installed_wheel(folder, name)
        needs = [Requirement(each) for each in distribution(name).requires or ()]
        left += [each.name for each in needs if each.marker is None or each.marker.evaluate({"extra": ""})]


def _installed_wheel(folder: Path, name: str) -> None:
    found = distribution(name)
    tags = (found.read_text("WHEEL") or "").splitlines()
    tag = next(line.removeprefix("Tag: ") for line in tags if line.startswith("Tag: "))
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{found.name.replace('-', '_')}-{found.version}-{tag}.whl", "w") as archive:
        for each in found.files or ():
            if ".." not in each.parts and "__pycache__" not in each.parts:
                archive.write(str(each.locate()), str(each))
