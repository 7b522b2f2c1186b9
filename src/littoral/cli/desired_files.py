"""Files of documents as changes of the desired state."""

from collections.abc import Sequence
from pathlib import Path

from littoral.cli.bundle_files import record_with_code
from littoral.cli.resource_files import STDIN, Found, read_files
from littoral.core.errors import InvalidInput, InvalidResource
from littoral.core.resources import App, Node
from littoral.fleet.desired import DesiredRecord, record_of


def valid_documents(paths: Sequence[Path]) -> list[Found]:
    """The documents of files and folders, if all are right and none is a Node. Raises InvalidResource, InvalidInput."""
    reading = read_files(paths)
    if reading.problems:
        raise InvalidResource("apply", "these documents", "nothing was applied\n" + "\n".join(reading.problems))
    for found in reading.documents:
        if isinstance(found.resource, Node):
            raise InvalidResource(
                "apply",
                f"{found.key} of {found.path}",
                "a Node says how a process on one machine is to run; it is no part of the desired state of the tree",
                f"Start it there: `littoral node run --config {found.path.name}`",
            )
    return reading.documents


def desired_record(found: Found, blobs: dict[str, bytes] | None = None) -> DesiredRecord:
    """The record that makes a document desired; the code of an app is packed from its source folder. blobs: see
    `record_with_code`.

    Raises: InvalidInput, TooLarge.
    """
    resource = found.resource
    assert not isinstance(resource, Node)
    if not isinstance(resource, App):
        return record_of(resource, None)
    if found.path == STDIN and not Path(resource.spec.source).is_absolute():
        raise InvalidInput("pack app", resource.metadata.name, "its source is relative to a file, and this is stdin")
    return record_with_code(resource, found.path, blobs)
