"""littoral call."""

import http.client
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import printable
from littoral.cli.targets import at_node
from littoral.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from littoral.node.app_messages import PATH, ScheduledOrder
from littoral.node.route_desk import PATH as ROUTES
from littoral.node.route_desk import RouteLine
from littoral.node.status import NodeStatus

TIMEOUT_S = 120.0
PIECE_BYTES = 1 << 16
FAILED_FROM = 500


@at_node
def call(
    api: ApiClient,
    target: Annotated[str, typer.Argument(metavar="PATH", help="Path and query, as in /items?page=2.")] = "/",
    *,
    app: Annotated[str | None, typer.Option(metavar="NAME", help="Which app; the only one by default.")] = None,
    method: Annotated[str | None, typer.Option("--request", "-X", help="GET by default; POST with a body.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="The body; @FILE reads it from a file, @- from stdin.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header field to send.", metavar="'NAME: VALUE'")
    ] = None,
    include: Annotated[bool, typer.Option("--include", "-i", help="Show status and header fields as well.")] = False,
    scheduled: Annotated[
        str | None, typer.Option(metavar="CRON", help="No request, but what this cron trigger does when it is due.")
    ] = None,
) -> None:
    """Make one request to an app, at the gateway of a node, and print the answer as it is.

    The app's own first route says which host is asked for. Exit code 1 where the answer is a server's error.
    """
    name = app or _only_app(api)
    if scheduled is not None:
        api.post(f"{PATH}/{name}/scheduled", msgspec.json.encode(ScheduledOrder(scheduled)), "application/json", dict)
        print(f"App {printable(name)}: {printable(scheduled)} has run")
        return
    gateway = api.get("/v1/status", NodeStatus).addresses.get("gateway")
    if gateway is None:
        raise Conflict("call", name, "the node has no gateway", "Name one that has: --node, --data-dir or --url")
    fields = dict(_field(each) for each in header or [])
    if (host := _host(api, name)) and "host" not in {each.lower() for each in fields}:
        fields["Host"] = host
    body = _body(data)
    status = _request(gateway, method or ("GET" if body is None else "POST"), target, fields, body, include=include)
    raise typer.Exit(1 if status >= FAILED_FROM else 0)


def _only_app(api: ApiClient) -> str:
    """Raises InvalidInput where there are several, NotFound where there is none."""
    names = [
        each.name.removeprefix("app/") for each in api.get(ROUTES, list[RouteLine]) if each.name.startswith("app/")
    ]
    apps = sorted(set(names))
    if not apps:
        raise NotFound("call", "an app", "no app answers requests at this node", "`littoral deploy` brings one there")
    if len(apps) > 1:
        raise InvalidInput("call", "an app", f"there are {', '.join(apps)}", "Say which: --app NAME")
    return apps[0]


def _host(api: ApiClient, name: str) -> str:
    """The host of the app's first route; empty for any."""
    lines = [each for each in api.get(ROUTES, list[RouteLine]) if each.name == f"app/{name}"]
    if not lines:
        raise NotFound("call", name, "no route of this node leads to it", "`littoral app list` shows where it runs")
    return lines[0].host


def _request(
    gateway: str, method: str, target: str, fields: dict[str, str], body: bytes | None, *, include: bool
) -> int:
    """The answer goes to stdout as it comes; its status. Raises Unavailable."""
    connection = http.client.HTTPConnection(gateway, timeout=TIMEOUT_S)
    # What is no part of a URL as it is written; what is encoded already stays so.
    path = quote(target if target.startswith("/") else f"/{target}", safe="/%?&=+$,;:@!*'()[]~#")
    out = sys.stdout.buffer
    try:
        connection.request(method.upper(), path, body, fields)
        answer = connection.getresponse()
        if include:
            lines = [
                f"HTTP/1.1 {answer.status} {answer.reason}",
                *(f"{key}: {value}" for key, value in answer.getheaders()),
            ]
            out.write("".join(f"{line}\n" for line in [*lines, ""]).encode())
        while piece := answer.read1(PIECE_BYTES):
            out.write(piece)
            out.flush()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable("call", f"http://{gateway}{path}", str(error), "Check that the gateway runs") from error
    finally:
        connection.close()
    if sys.stdout.isatty():
        print()
    return answer.status


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise typer.BadParameter(f"{text!r} is no header field; write 'NAME: VALUE'")
    return name.strip(), value.strip()


def _body(data: str | None) -> bytes | None:
    """Raises InvalidInput for a file that cannot be read."""
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidInput("read", data[1:], error.strerror or str(error), "Check the name of the file") from error
