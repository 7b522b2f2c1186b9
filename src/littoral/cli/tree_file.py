"""tree.json, as far as commands need it to find the nodes of a local tree. `littoral.node.local_tree` writes it; that
module brings servers with it, which a command that asks a node one question need not load."""

from pathlib import Path

import msgspec

from littoral.core.errors import InvalidInput, NotFound
from littoral.core.resources import Tier

TREE_FILE = "tree.json"
TREE_DIRECTORY = Path(".littoral")
"""Where a local tree keeps its state unless it is told otherwise, relative to the working directory."""

DEV_NODE = "dev"
"""There, the data of the node that `littoral dev` runs a project in."""


class _Part(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    pass


class TreeNode(_Part, frozen=True):
    """One node of the tree. Addresses are URLs."""

    data_dir: str
    api: str
    tier: Tier
    parent: str | None = None
    """None for the root."""
    gateway: str | None = None
    mqtt: str | None = None


class Links(_Part, frozen=True):
    """The API that steers the links."""

    url: str
    token: str


class TreeFile(_Part, frozen=True):
    """A local tree that runs."""

    nodes: dict[str, TreeNode]
    links: Links | None = None
    dashboard: str | None = None

    @property
    def root(self) -> str:
        """The name of the node without a parent."""
        return next(name for name, node in self.nodes.items() if node.parent is None)


def read_tree(directory: Path) -> TreeFile:
    """The tree whose state directory this is.

    Raises: NotFound where no tree runs, InvalidInput for a file that is none of ours.
    """
    path = directory / TREE_FILE
    try:
        tree = msgspec.json.decode(path.read_bytes(), type=TreeFile)
    except FileNotFoundError:
        raise NotFound(
            "find", f"a local tree in {directory}", "none runs there", "Start a local tree with `littoral up`"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput("read", str(path), str(error), "Start the tree again with `littoral up`") from error
    if not any(node.parent is None for node in tree.nodes.values()):
        raise InvalidInput("read", str(path), "it has no root", "Start the tree again with `littoral up`")
    return tree
