"""littoral route: who answers which requests."""

from typing import Annotated

import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import print_json, print_table
from littoral.cli.targets import at_node
from littoral.node.route_desk import PATH, TEST_PATH, RouteAnswer, RouteLine


@at_node
def list_routes(
    api: ApiClient, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the routes that a node's gateways serve, and why others are not served."""
    lines = api.get(PATH, list[RouteLine])
    if as_json:
        print_json(lines)
        return
    rows = [
        [line.name, line.host or "any", line.path, ", ".join(line.methods) or "all", line.leads_to, line.problem]
        for line in lines
    ]
    print_table(["ROUTE", "HOST", "PATH", "METHODS", "LEADS TO", "PROBLEM"], rows)


@at_node
def try_route(
    api: ApiClient,
    address: Annotated[str, typer.Argument(help="The URL, as a client would ask for it.", metavar="URL")],
    *,
    method: Annotated[str, typer.Option(help="Of the request.")] = "GET",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say who would answer a request, and from what. Nothing is sent."""
    answer = api.get(TEST_PATH, RouteAnswer, {"method": method, "url": address})
    if as_json:
        print_json(answer)
        return
    rows = [["request", f"{answer.method} {answer.host} {answer.target}"]]
    if answer.status:
        allowed = f": it takes {', '.join(answer.allow)}" if answer.allow else ""
        rows.append(["answered", f"{answer.status}, no route{allowed}"])
    else:
        rows.append(["route", f"{answer.route}, to {answer.leads_to}"])
    if answer.sent:
        rows += [
            ["cache key", answer.cache_key or "none: it is not looked for in the cache"],
            ["sent", f"{answer.method} {answer.sent}"],
        ]
    if answer.asks_first:
        rows.append(["asks first", f"{answer.asks_first}, the parent node"])
    if answer.targets:
        rows.append(["targets", ", ".join(answer.targets)])
    print_table(["", ""], rows)
