"""The code of an app that is described by a document."""

from pathlib import Path

from littoral.core.errors import InvalidResource
from littoral.core.resources import App
from littoral.fleet.bundles import REMAINS_A_BUNDLE_BYTES, pack_bundle
from littoral.fleet.code_parts import pack_part
from littoral.fleet.desired import DesiredRecord, record_of
from littoral.projects.source_files import source_files


def record_with_code(app: App, document: Path, blobs: dict[str, bytes] | None) -> DesiredRecord:
    """The app with its code. document: the file the app stands in; its source folder is relative to it. blobs: takes code that
    is too large for its record, by digest; None where only such code will do as fits.

    Raises: InvalidResource where there is no such folder or entry point, InvalidInput, TooLarge.
    """
    name = app.metadata.name
    folder = document.parent / app.spec.source
    if not folder.is_dir():
        raise InvalidResource(
            "pack app",
            name,
            f"{folder} is no folder",
            f"Correct spec.source in {document}; it is relative to that file",
        )
    files = source_files(name, folder)
    if app.spec.main not in files:
        raise InvalidResource(
            "pack app", name, f"{folder} has no file {app.spec.main}", f"Correct spec.main in {document}"
        )
    if blobs is None or sum(map(len, files.values())) <= REMAINS_A_BUNDLE_BYTES:
        return record_of(app, pack_bundle(name, files))
    part, blob = pack_part(name, "own", files)
    blobs[part.digest] = blob
    return record_of(app, None, [part])
