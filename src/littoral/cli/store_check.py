"""littoral store check."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.output import print_json, progress, size
from littoral.cli.store_place import (
    ConfigOption,
    DirectoryOption,
    NodeOption,
    TreeOption,
    data_directory,
    key_of,
    spill_of,
    store_file,
)
from littoral.cli.tree_file import TREE_DIRECTORY
from littoral.drivers.disk import LocalDisk
from littoral.iot.session_check import check_sessions
from littoral.security.store_key import StoreKey
from littoral.store.blob_check import check_blobs
from littoral.store.check import CheckReport, check_store
from littoral.store.database import open_untouched, translated
from littoral.store.mqtt_reads import MqttReads
from littoral.store.spill import SpillPlace


def check(
    data_dir: DirectoryOption = None,
    node: NodeOption = None,
    tree: TreeOption = TREE_DIRECTORY,
    config: ConfigOption = None,
    backup: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check this backup, instead of the node's store.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that a store is sound, whether its node runs or not: the file, every batch of every stream, what tables
    say of each other, what is kept of MQTT clients, and every blob.

    Changes nothing. Exit code 1 says that something is damaged; each problem names the stream, the offsets, and what to do.
    """
    directory = data_directory(data_dir, node, tree) if backup is None or data_dir or node else Path()
    file = backup or store_file(directory)
    report = check_file(file, key_of(directory, config), spill_of(directory, config))
    if backup is None:
        _check_blobs(directory, file, key_of(directory, config), report)
    if as_json:
        print_json(report)
    else:
        print_report(file, report)
    if not report.sound:
        raise typer.Exit(1)


def check_file(file: Path, key: StoreKey | None, place: SpillPlace | None) -> CheckReport:
    """Check the store in `file`; place: where its spill files are, if that is known.

    Raises NotFound, StartupError for a key that is not the store's, IncompatibleStore, StorageError.
    """
    with translated("check", str(file)):
        connection = open_untouched(str(file.absolute()), key)
        try:
            with progress() as bar:
                task = bar.add_task("checking")
                report = check_store(connection, lambda done, of: bar.update(task, completed=done, total=of), place)
                check_sessions(MqttReads(connection), report)
                return report
        finally:
            connection.close()


def _check_blobs(directory: Path, file: Path, key: StoreKey | None, report: CheckReport) -> None:
    """Check the blobs beside the store in `file`, and add to `report`. Raises as `check_file` does."""
    with (
        translated("check", str(file)),
        contextlib.closing(open_untouched(str(file.absolute()), key)) as connection,
        progress() as bar,
    ):
        task = bar.add_task("checking blobs")
        check_blobs(
            connection, LocalDisk(directory), report, lambda done, of: bar.update(task, completed=done, total=of)
        )


def print_report(file: Path, report: CheckReport) -> None:
    """Print what was checked, and each problem."""
    held = f" ({report.forks} forks, {report.held} deleted ones that forks read)" if report.forks else ""
    print(
        f"{file}: store of {report.node or 'no node'}, {report.streams} streams{held}, {report.batches} batches,"
        f" {report.records} records, {size(report.payload_bytes)}, {report.folds} folds, {report.keys} keys"
    )
    if report.spill_files:
        looked_at = report.spill_files - report.unread_files
        print(f"{looked_at} of {report.spill_files} spill files were looked at")
    if report.blobs:
        print(f"{report.blobs} blobs, {size(report.blob_bytes)}")
    if report.mqtt_sessions or report.mqtt_messages or report.mqtt_retained or report.mqtt_leftovers:
        print(
            f"MQTT: {report.mqtt_sessions} sessions, {report.mqtt_messages} messages that wait, {report.mqtt_retained} retained ones,"
            f" {report.mqtt_leftovers} rows that the node removes when it starts"
        )
    for problem in report.problems:
        print(f"{problem}\n  {problem.remedy}")
    if report.left_out:
        print(f"and {report.left_out} more problems")
    found = len(report.problems) + report.left_out
    print("no problems" if not found else f"{found} problem{'' if found == 1 else 's'}")
