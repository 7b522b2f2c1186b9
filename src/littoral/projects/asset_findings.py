"""What is wrong with `_redirects` and `_headers` of a project's assets, before a node goes by them."""

import os
from collections.abc import Iterator, Mapping

from littoral.core.asset_headers import FILE as HEADERS
from littoral.core.asset_headers import HeaderRules
from littoral.core.asset_redirects import FILE as REDIRECTS
from littoral.core.asset_redirects import Fault, Redirects
from littoral.core.asset_rules import FILE_BYTES
from littoral.projects.finding import Finding


def asset_findings(directory: str, shown: str, files: Mapping[str, bytes]) -> tuple[list[Finding], list[Finding]]:
    """What keeps it from being built, and warnings. directory: of the assets, in a bundle's paths. shown: the same as people see it."""
    errors: list[Finding] = []
    warnings: list[Finding] = []
    for name, content in _there(directory, files):
        file = os.path.normpath(os.path.join(shown, name))
        if len(content) > FILE_BYTES:
            cause = f"it has {len(content)} bytes; at most {FILE_BYTES} are read"
            errors.append(Finding(file, None, cause, "Have the code answer what rules cannot say in so many"))
            continue
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            errors.append(Finding(file, line, "it is not UTF-8", "Save it as UTF-8"))
            continue
        for fault in _faults(name, text):
            (errors if fault.is_error else warnings).append(Finding(file, fault.line, fault.cause, fault.remedy))
    return errors, warnings


def _there(directory: str, files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name in (REDIRECTS, HEADERS):
        content = files.get(os.path.normpath(os.path.join(directory, name)))
        if content is not None:
            yield name, content


def _faults(name: str, text: str) -> list[Fault]:
    return Redirects(text).faults if name == REDIRECTS else HeaderRules(text).faults
