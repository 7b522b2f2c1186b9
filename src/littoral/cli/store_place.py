"""Which store a command is about: that of a node on this machine, found by its data directory."""

import os
from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.node_run import read_document
from littoral.cli.targets import PANEL, TreeOption
from littoral.cli.tree_file import read_tree
from littoral.core.errors import NotFound
from littoral.drivers.disk import LocalDisk
from littoral.drivers.random import SystemRandom
from littoral.node.layout import NODE_FILE, read_node_file
from littoral.node.store_key import read_key
from littoral.security.store_key import StoreKey
from littoral.store.database import DATABASE
from littoral.store.spill import SpillPlace, spill_place

DirectoryOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Data directory of a node on this machine.", rich_help_panel=PANEL)
]
NodeOption = Annotated[
    str | None, typer.Option("--node", help="Node of the local tree; its root if not given.", rich_help_panel=PANEL)
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The node's document, which says where the store's key is; what the node ran with last, if not given.",
        rich_help_panel=PANEL,
    ),
]
__all__ = [
    "ConfigOption",
    "DirectoryOption",
    "NodeOption",
    "TreeOption",
    "data_directory",
    "key_of",
    "spill_of",
    "store_file",
]


def data_directory(data_dir: Path | None, node: str | None, tree: Path) -> Path:
    """The data directory that the options name. Raises BadParameter, NotFound, InvalidInput."""
    if data_dir is not None:
        if node is not None:
            raise typer.BadParameter("--data-dir and --node each name a node; give one of them")
        return data_dir
    local = read_tree(tree)
    found = local.nodes.get(node or local.root)
    if found is None:
        raise NotFound("find node", repr(node), "the local tree has no such node", f"It has {', '.join(local.nodes)}")
    return Path(found.data_dir)


def store_file(directory: Path) -> Path:
    """The store of the node whose data directory this is."""
    return directory / DATABASE


def key_of(directory: Path, config: Path | None) -> StoreKey | None:
    """The key of the store of the node whose data directory this is; None if it is not encrypted. Raises InvalidInput,
    InvalidResource, StartupError."""
    if config is not None:
        return read_key(read_document(config).spec.encryption, os.environ)
    if not (directory / NODE_FILE).exists():
        return None  # it never ran
    return read_key(read_node_file(directory).spec.encryption, os.environ)


def spill_of(directory: Path, config: Path | None) -> SpillPlace | None:
    """Where the node whose data directory this is keeps spilled records; None if its document names no place. Raises as
    `key_of`."""
    if config is None and not (directory / NODE_FILE).exists():
        return None
    document = read_document(config) if config is not None else read_node_file(directory)
    spill = document.spec.storage.spill
    disk = None if spill is None else LocalDisk(spill.directory, create=False)
    return spill_place(document.metadata.name, document.spec.storage, disk, SystemRandom())
