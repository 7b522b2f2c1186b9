"""An app's source folder as a bundle."""

from pathlib import Path

from littoral.core.errors import InvalidResource
from littoral.core.resources import App
from littoral.fleet.bundles import pack_bundle
from littoral.projects.source_files import source_files


def bundle_of(app: App, document: Path) -> bytes:
    """The app's code, packed. document: the file the app stands in; its source folder is relative to it.

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
    return pack_bundle(name, files)
