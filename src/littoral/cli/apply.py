"""littoral apply."""

from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.applying import make_desired
from littoral.cli.client import ApiClient
from littoral.cli.desired_files import desired_record, valid_documents
from littoral.cli.output import progress
from littoral.cli.targets import at_node
from littoral.fleet.desired import DesiredRecord
from littoral.projects.ignored import REVISION_SUFFIX
from littoral.projects.revision_file import read_revision

FILES_HELP = "YAML files, folders of them, revisions that `littoral build` wrote, or - for stdin."


@at_node
def apply(
    api: ApiClient,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help=FILES_HELP)] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", metavar="FILE", help="The same, as an option.")
    ] = None,
) -> None:
    """Make documents the desired state of the tree. Asks the root; every node then takes what is placed on it.

    All files are checked before anything is sent. The code of an app is packed from its source folder.
    """
    paths = [*(files or []), *(file or [])]
    if not paths:
        raise typer.BadParameter("name at least one file")
    built = [read_revision(path) for path in paths if path.suffix == REVISION_SUFFIX]
    documents = valid_documents([path for path in paths if path.suffix != REVISION_SUFFIX])
    records: list[DesiredRecord] = []
    blobs = {digest: blob for revision in built for digest, blob in revision.blobs.items()}
    with progress() as bar:
        packing = bar.add_task("pack", total=len(documents))
        for found in documents:
            records.append(desired_record(found, blobs))
            bar.advance(packing)
    records += [record for revision in built for record in revision.records]
    defaults = [record for revision in built for record in revision.defaults]
    done = make_desired(api, records, defaults, blobs)
    for line in done.lines:
        print(line)
    print(f"{done.changed} changed")
