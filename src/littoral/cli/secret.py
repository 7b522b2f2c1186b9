"""littoral secret."""

import getpass
import sys
from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import print_json, printable
from littoral.cli.targets import at_node
from littoral.core.errors import InvalidInput

PATH = "/v1/secrets"

App = Annotated[str, typer.Argument(help="Name of the app.")]
Name = Annotated[str, typer.Argument(help="Name in `env`.")]


@at_node
def put(api: ApiClient, app: App, name: Name) -> None:
    """Set a secret of an app. Asks the root.

    The value is read from stdin, or asked for where that is a terminal; a line break at its end is left out. Workers
    that run get it as soon as their node does, without a deploy.
    """
    _check_direct(api)
    text = getpass.getpass(f"{name}: ").encode() if sys.stdin.isatty() else sys.stdin.buffer.read()
    api.call("PUT", f"{PATH}/{app}/{name}", text.removesuffix(b"\n").removesuffix(b"\r"))


@at_node
def list_secrets(
    api: ApiClient,
    app: App,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: an array of names.")] = False,
) -> None:
    """List the names of an app's secrets. Asks the root. Nobody tells their values."""
    names = api.get(f"{PATH}/{app}", list[str])
    if as_json:
        print_json(names)
        return
    for name in names:
        print(printable(name))


@at_node
def delete(api: ApiClient, app: App, name: Name) -> None:
    """Delete a secret of an app. Asks the root."""
    _check_direct(api)
    api.call("DELETE", f"{PATH}/{app}/{name}")


def _check_direct(api: ApiClient) -> None:
    if api.at is not None:
        raise InvalidInput("change secrets at", api.at, "they are set at the root only", "Leave out --at")
