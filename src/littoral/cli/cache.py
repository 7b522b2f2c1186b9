"""littoral cache."""

import sys
from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import Cell, cut, print_json, print_table, printable, size, span
from littoral.cli.targets import at_node
from littoral.node.cache_api import INSPECT_PATH, PURGE_PATH, TOP_COUNT, TOP_PATH, Inspected, PurgeOrder, TopObjects
from littoral.node.cache_top import TOP_MOST
from littoral.node.purge_messages import CachedObject, PurgeOutcome

FAILED = 1
URL_COLUMNS = 60
"""Of a URL in a table; --json has the whole."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@at_node
def purge(
    api: ApiClient,
    address: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="All that is stored of it. Without http:// or https:// both are meant."),
    ] = None,
    tag: Annotated[str | None, typer.Option(help="What has this tag (Cache-Tag, Surrogate-Key).")] = None,
    prefix: Annotated[str | None, typer.Option(help="A host, and how paths begin: shop.example/images/")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    soft: Annotated[
        bool, typer.Option("--soft", help="Keep it to stand in for servers that fail, or say that it still holds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Have the HTTP caches forget what is stored, at a node and at all nodes below it; at the root, in the whole tree.

    Returns once all gateways of the node that is asked have done it; those of nodes below do it as soon as they hear of it,
    also those that are offline now. Exit code 1 if a gateway of this node has not confirmed it in time.
    """
    if (address is not None) + (tag is not None) + (prefix is not None) + everything != 1:
        raise typer.BadParameter("name a URL, or give one of --tag, --prefix and --all")
    order = msgspec.json.encode(PurgeOrder(address, tag, prefix, everything, soft))
    outcome = api.post(PURGE_PATH, order, "application/json", PurgeOutcome)
    if as_json:
        print_json(outcome)
    else:
        objects, gateways = _count(outcome.objects, "stored response"), _count(outcome.gateways, "gateway")
        print(f"purge {outcome.number}: {objects} in {gateways}")
    if outcome.unconfirmed:
        print(f"not confirmed yet by {_count(outcome.unconfirmed, 'gateway')}", file=sys.stderr)
        raise typer.Exit(FAILED)


@at_node
def inspect(
    api: ApiClient,
    address: Annotated[str, typer.Argument(metavar="URL", help="As clients ask for it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what the gateways of a node hold of a URL. Each of them has a cache of its own."""
    found = api.get(INSPECT_PATH, Inspected, {"url": address})
    if as_json:
        print_json(found)
        return
    columns = ["gateway", "in", "status", *_FIGURES, "variant and tags"]
    rows = [
        [
            str(gateway),
            each.tier,
            str(each.status),
            *_figures(each),
            printable("; ".join(filter(None, (_variant(each), " ".join(each.tags))))),
        ]
        for gateway, objects in enumerate(found.gateways)
        for each in objects
    ]
    if rows:
        print_table(columns, rows, right=("gateway", "status", *_FIGURES))
    else:
        print(f"not stored in any of {_count(len(found.gateways), 'gateway')}")


@at_node
def top(
    api: ApiClient,
    *,
    count: Annotated[int, typer.Option(min=1, max=TOP_MOST, help="How many.")] = TOP_COUNT,
    as_json: AsJson = False,
) -> None:
    """Show what the gateways of a node have given most often of what they have in memory now."""
    found = api.get(TOP_PATH, TopObjects, {"count": str(count)})
    if as_json:
        print_json(found)
        return
    rows: list[list[Cell]] = [
        [*_figures(each.object), str(each.gateways), cut(_name(each.object), URL_COLUMNS)] for each in found.objects
    ]
    if rows:
        print_table([*_FIGURES, "gateways", "URL"], rows, right=(*_FIGURES, "gateways"))
    else:
        print(f"nothing is stored in any of {_count(found.gateways, 'gateway')}")


_FIGURES = ("age", "fresh for", "size", "hits")


def _figures(held: CachedObject) -> tuple[str, ...]:
    fresh_for = "stale" if held.ttl_s is None or held.ttl_s <= 0 else span(held.ttl_s)
    return span(held.age_s), fresh_for, size(held.bytes), f"{held.hits:,}"


def _name(held: CachedObject) -> str:
    """A URL, and what else distinguishes what is stored of it."""
    variant = _variant(held)
    return f"{held.url} ({variant})" if variant else held.url


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _variant(held: CachedObject) -> str:
    """What distinguishes it from what else is stored of its URL."""
    fields = [f"{name}: {value}" if value is not None else f"no {name}" for name, value in held.variant.items()]
    return ", ".join((*held.key, *fields))
