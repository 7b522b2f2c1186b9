"""What of wrangler's configuration file says which files travel with an app."""

import posixpath
from collections.abc import Mapping

from msgspec import Struct

from littoral.core.resources.app_assets import HtmlHandling, NotFoundHandling
from littoral.core.resources.problem import Path
from littoral.core.resources.syntax import Value


class AssetsSection(Struct, frozen=True):
    """The key `assets`."""

    directory: str
    binding: str | None = None
    html_handling: HtmlHandling = "auto-trailing-slash"
    not_found_handling: NotFoundHandling = "none"
    run_worker_first: bool | list[str] = False


_KEYS = {
    "directory": "directory",
    "binding": "binding",
    "htmlHandling": "html_handling",
    "notFoundHandling": "not_found_handling",
    "runWorkerFirst": "run_worker_first",
}


def asset_fields(
    section: AssetsSection | None, places: Mapping[str, Path], origins: dict[Path, Path]
) -> dict[str, Value]:
    """The field of an App document; where it comes from is noted in `origins`."""
    if section is None:
        return {}
    for field, key in _KEYS.items():
        origins["spec", "assets", field] = (*places["assets"], key)
    rules = section.run_worker_first
    spec: dict[str, Value] = {
        "directory": posixpath.normpath(section.directory),
        "binding": section.binding,
        "htmlHandling": section.html_handling,
        "notFoundHandling": section.not_found_handling,
        "runWorkerFirst": list(rules) if isinstance(rules, list) else rules,
    }
    return {"assets": spec}
