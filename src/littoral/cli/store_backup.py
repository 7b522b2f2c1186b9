"""littoral store backup, littoral store restore."""

from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.output import size
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
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.node.backup import back_up
from littoral.node.backup import restore as restore_store


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; there must be none of its name.")],
    data_dir: DirectoryOption = None,
    node: NodeOption = None,
    tree: TreeOption = TREE_DIRECTORY,
    config: ConfigOption = None,
) -> None:
    """Copy the store of a node to a file, as of one commit, whether the node runs or not.

    The node goes on writing meanwhile. The copy of an encrypted store is encrypted with the same key. The node's identity
    (`identity/` in its data directory) is not in it.
    """
    directory = data_directory(data_dir, node, tree)
    target = file.absolute()
    back_up(store_file(directory).absolute(), target, key_of(directory, config))
    print(f"{file}: {size(target.stat().st_size)}")
    if (spill := spill_of(directory, config)) is not None:
        print(f"what was spilled to {spill.directory} is not in it: copy that too")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    data_dir: Annotated[Path, typer.Option(help="Data directory of the node, which must not run.")],
    config: ConfigOption = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the store there is; it is kept as store.db.before-restore.")
    ] = False,
) -> None:
    """Let the store of a node be what it was when a backup was made.

    The backup is checked first. When the node has met its parent again, it has back what the parent has of its streams;
    what it wrote before that, in the place of that, is in streams `quarantine/...` of the node.
    """
    key = key_of(data_dir, config)
    done = restore_store(file.absolute(), data_dir.absolute(), key, SystemClock(), SystemRandom(), force=force)
    print(
        f"{store_file(data_dir)} is the store of {done.node} again, as lineage {done.lineage} (was {done.was.lineage})"
    )
    if done.kept is not None:
        print(f"what was there before is {done.kept}")
