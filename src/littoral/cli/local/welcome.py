"""What `littoral up` says once the tree runs: where everything is, and what to try."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from littoral.cli.targets import TREE_VARIABLE
from littoral.cli.tree_file import TREE_DIRECTORY
from littoral.node.local_tree import TreeFile
from littoral.security.operator import TOKEN_PATH

LABEL_COLUMNS = 12
COLUMNS_MOST = 100


def welcome(out: Console, tree: TreeFile, state_dir: Path, *, has_app: bool) -> None:
    """Print it. Addresses stand at the end of their lines, unbroken, so that a terminal can open or copy them."""
    _heading(out, "Littoral: a tree of four nodes is running")
    for label, value in _places(tree, has_app=has_app):
        line = Text(f"{label:{LABEL_COLUMNS}}", style="bold").append(value, style="not bold")
        out.print(line, soft_wrap=True)
    _heading(out, "Try, in another terminal in this folder")
    for command in _commands(tree, state_dir, has_app=has_app):
        out.print(Text(command), soft_wrap=True)
    _heading(out, f"Ctrl-C ends it; the nodes' logs are in {state_dir / 'logs'}")


def _heading(out: Console, text: str) -> None:
    out.print(Rule(text, align="left", style="green"), width=min(out.width, COLUMNS_MOST))


def _places(tree: TreeFile, *, has_app: bool) -> Iterator[tuple[str, str]]:
    root = next(node for node in tree.nodes.values() if node.parent is None)
    if tree.dashboard is not None:
        token = Path(root.data_dir, TOKEN_PATH).read_text(encoding="ascii").strip()
        # The page takes the token out of the fragment, which is not sent to any server.
        yield "dashboard", f"{tree.dashboard}/login#token={token}"
    for name, node in tree.nodes.items():
        page = f"{node.gateway}/lines" if has_app else node.gateway
        yield name, page + (f"   MQTT {node.mqtt}" if node.mqtt else "")
    yield "MQTT login", f"{tree.mqtt['username']} / {tree.mqtt['password']}"


def _commands(tree: TreeFile, state_dir: Path, *, has_app: bool) -> Iterator[str]:
    littoral = _program()
    if state_dir != TREE_DIRECTORY:
        yield f"export {TREE_VARIABLE}={state_dir}"
    site, gateway = next((name, node.gateway) for name, node in tree.nodes.items() if node.tier == "site")
    yield f"{littoral} wan cut {site}      # it goes on alone, its queue grows"
    yield f"{littoral} wan restore {site}  # and empties"
    yield f"{littoral} status --node {site}"
    if has_app:
        yield f"{littoral} stream tail {site}/alerts"
        yield f"curl {gateway}/api/lines/{site}/machine"


def _program() -> str:
    """How this program is called from here."""
    return "littoral" if shutil.which("littoral") else os.path.relpath(sys.argv[0])
