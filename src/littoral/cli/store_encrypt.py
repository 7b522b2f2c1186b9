"""littoral store encrypt, rekey, decrypt."""

import os
from pathlib import Path
from typing import Annotated

import typer

from littoral.cli.node_run import read_document
from littoral.cli.store_place import ConfigOption, key_of, store_file
from littoral.node.backup import rewrite
from littoral.node.store_key import read_key
from littoral.security.store_key import StoreKey

DirectoryOption = Annotated[Path, typer.Option("--data-dir", help="Data directory of the node, which must not run.")]
NewConfigOption = Annotated[
    Path,
    typer.Option(
        "--new-config", metavar="FILE", help="The node's document as it is going to be: spec.encryption names the key."
    ),
]


def encrypt(data_dir: DirectoryOption, new_config: NewConfigOption) -> None:
    """Encrypt the store of a node that is not encrypted yet."""
    rewrite(data_dir.absolute(), None, _new_key(new_config))
    print(f"{store_file(data_dir)} is encrypted now")


def rekey(data_dir: DirectoryOption, new_config: NewConfigOption, config: ConfigOption = None) -> None:
    """Encrypt the store of a node with another key."""
    rewrite(data_dir.absolute(), key_of(data_dir, config), _new_key(new_config))
    print(f"{store_file(data_dir)} is encrypted with the new key now")


def decrypt(data_dir: DirectoryOption, config: ConfigOption = None) -> None:
    """Let the store of a node be encrypted no more."""
    rewrite(data_dir.absolute(), key_of(data_dir, config), None)
    print(f"{store_file(data_dir)} is not encrypted any more")


def _new_key(config: Path) -> StoreKey:
    key = read_key(read_document(config).spec.encryption, os.environ)
    if key is None:
        raise typer.BadParameter(f"{config} has no spec.encryption; `littoral store decrypt` takes the encryption away")
    return key
