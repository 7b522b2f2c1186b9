"""Which node a command talks to.

--url URL        with --token-file, --token or LITTORAL_TOKEN; LITTORAL_URL says the same
--data-dir DIR   a node of this machine, by its data directory
--node NAME      a node of the local tree that `littoral up` runs here
(nothing)        LITTORAL_URL, or else the root of the local tree, or else the node of `littoral dev` in this folder

--at NODE        not the node so named, but one below it, which it asks: any command reaches a node that nobody can connect
                 to; --deadline says how long that may take
"""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from littoral.cli.client import DEADLINE_MS, ApiClient
from littoral.cli.tree_file import DEV_NODE, TREE_DIRECTORY, TREE_FILE, read_tree
from littoral.core.errors import InvalidInput, LittoralError, NotFound
from littoral.core.names import check_node_name
from littoral.core.resources import parse_duration_ms
from littoral.node.layout import API_FILE
from littoral.security.operator import TOKEN_PATH
from littoral.wire.inbox import DEADLINE_DEFAULT

URL_VARIABLE = "LITTORAL_URL"
TOKEN_VARIABLE = "LITTORAL_TOKEN"
TREE_VARIABLE = "LITTORAL_TREE"
PANEL = "Which node"

TreeOption = Annotated[
    Path,
    typer.Option(envvar=TREE_VARIABLE, help="State directory of the local tree.", rich_help_panel=PANEL),
]


class Target(NamedTuple):
    """An operator API."""

    url: str
    token: str
    at: str | None = None
    """A node below that one, which is meant."""
    deadline_ms: int = DEADLINE_MS
    """How long a node that is asked through another has to answer."""


def _options(
    *,
    url: Annotated[str | None, typer.Option(help="The node's operator API.", rich_help_panel=PANEL)] = None,
    token: Annotated[
        str | None, typer.Option(envvar=TOKEN_VARIABLE, help="Operator token for --url.", rich_help_panel=PANEL)
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the operator token for --url.", rich_help_panel=PANEL)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Data directory of a node on this machine.", rich_help_panel=PANEL)
    ] = None,
    node: Annotated[
        str | None, typer.Option(help="Node of the local tree; its root if not given.", rich_help_panel=PANEL)
    ] = None,
    tree: TreeOption = TREE_DIRECTORY,
    at: Annotated[
        str | None, typer.Option(help="A node below that one, asked through it.", rich_help_panel=PANEL)
    ] = None,
    deadline: Annotated[
        str,
        typer.Option(
            help="How long a node that is asked through another has to answer: 30s, 1d.", rich_help_panel=PANEL
        ),
    ] = DEADLINE_DEFAULT,
) -> Target:
    """The node that the options name. Raises BadParameter, NotFound, InvalidInput."""
    deadline_ms = parse_duration_ms(deadline)
    target = _reachable(url, token, token_file, data_dir, node, tree)
    return target._replace(at=at and check_node_name(at), deadline_ms=deadline_ms)


def _reachable(
    url: str | None, token: str | None, token_file: Path | None, data_dir: Path | None, node: str | None, tree: Path
) -> Target:
    given = [name for name, value in (("--url", url), ("--data-dir", data_dir), ("--node", node)) if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} each name a node; give one of them")
    if data_dir is not None:
        return node_at(data_dir)
    if node is None:
        url = url or os.environ.get(URL_VARIABLE)
        if url is not None:
            return Target(url, _token(url, token, token_file))
        if not (tree / TREE_FILE).exists() and (tree / DEV_NODE / API_FILE).exists():
            return node_at(tree / DEV_NODE)
    return node_of_tree(tree, node)


def at_node(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is a client of the node it is about; adds the options that name the node."""

    def run(given: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        target = _options(**given)
        with ApiClient(target.url, target.token, target.at, target.deadline_ms) as api:
            command(api, **arguments)

    return _with_options(command, run)


def _with_options(
    command: Callable[..., None], call: Callable[[Mapping[str, Any], Mapping[str, Any]], None]
) -> Callable[..., None]:
    """call: is given the options that name the node, and the command's own arguments."""
    signature = inspect.signature(command)
    ours = inspect.signature(_options).parameters

    def run(**arguments: Any) -> None:
        call({name: arguments.pop(name) for name in ours}, arguments)

    # typer reads the signature: the command's without its first parameter, and then the options.
    own = list(signature.parameters.values())[1:]
    run.__signature__ = signature.replace(parameters=[*own, *ours.values()])  # type: ignore[attr-defined]
    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    return run


class Elsewhere:
    """The node that a command may be told, beside that which it runs itself."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """given: the options, by name."""
        self._given = given

    @property
    def option(self) -> str | None:
        """One that was given and names a node, as it is written; None for none."""
        names = (name for name in _NAMES_A_NODE if self._given[name] is not None)
        return next((f"--{name.replace('_', '-')}" for name in names), None)

    def target(self) -> Target:
        """The node. Raises BadParameter, NotFound, InvalidInput."""
        if self.option in (None, "--at") and URL_VARIABLE not in os.environ:
            # Raises where there is none: it is not to be the node of `littoral dev`, which is the command's own.
            node_of_tree(self._given["tree"], None)
        return _options(**self._given)


_NAMES_A_NODE = ("url", "data_dir", "node", "at")


def with_node(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is an `Elsewhere`; adds the options that name the node."""
    return _with_options(command, lambda given, arguments: command(Elsewhere(given), **arguments))


def node_at(data_dir: Path) -> Target:
    """A node on this machine. Raises NotFound, InvalidInput."""
    subject = f"the node in {data_dir}"
    addresses = _addresses(
        subject, _read(subject, data_dir / API_FILE, f"Start it: `littoral node run --data-dir {data_dir}`")
    )
    token = _read(subject, data_dir / TOKEN_PATH, "Use the data directory of a node that has been started")
    return Target(f"http://{addresses['api']}", token.decode("ascii", "replace").strip())


def node_of_tree(directory: Path, name: str | None) -> Target:
    """A node of a local tree, or its root. Raises NotFound, InvalidInput."""
    try:
        tree = read_tree(directory)
    except NotFound as error:
        raise NotFound(
            error.operation,
            error.subject,
            error.cause,
            f"{error.remedy}, or name a node with --url or --data-dir",
        ) from None
    found = tree.nodes.get(name or tree.root)
    if found is None:
        raise NotFound("find node", repr(name), "the local tree has no such node", f"It has {', '.join(tree.nodes)}")
    remedy = "Start the tree again with `littoral up`"
    token = _read(f"node {name or tree.root}", Path(found.data_dir, TOKEN_PATH), remedy)
    return Target(found.api, token.decode("ascii", "replace").strip())


def _token(url: str, token: str | None, token_file: Path | None) -> str:
    if token:
        return token
    if token_file is None:
        raise InvalidInput(
            "call",
            url,
            "no operator token is given",
            f"Give --token-file with the node's {TOKEN_PATH}, or set {TOKEN_VARIABLE}",
        )
    return _read("the operator token", token_file, "Check --token-file").decode("ascii", "replace").strip()


def _addresses(subject: str, data: bytes) -> Mapping[str, str]:
    try:
        addresses = msgspec.json.decode(data, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise InvalidInput("find", subject, f"{API_FILE} cannot be read: {error}", "Start it again") from error
    if "api" not in addresses:
        raise InvalidInput("find", subject, f"{API_FILE} names no api", "Start it again")
    return addresses


def _read(subject: str, path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        kind: type[LittoralError] = NotFound if isinstance(error, FileNotFoundError) else InvalidInput
        raise kind("find", subject, f"{path}: {error.strerror}", remedy) from error
