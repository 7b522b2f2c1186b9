"""HTTP caches in words: what became of requests, what is held, and what was given most often."""

from collections.abc import Mapping

from littoral.dashboard.cache_history import Recently, hit_ratio, requests_of
from littoral.dashboard.cells import Cell, Line, Tone
from littoral.dashboard.texts import NONE, bytes_text, count_text, cut_text, duration_text, rate_text, share_text
from littoral.node.cache_api import PurgeOrder
from littoral.node.cache_top import TopObject
from littoral.node.purge_messages import PurgeOutcome
from littoral.node.status import CacheCounts, GatewayStatus, NodeStatus, OriginStatus, RouteStatus, TierStatus

URL_CHARACTERS = 240
"""Of a URL in a table: the longest there are have thousands."""
ORIGIN = "origin "
"""How what a route leads to begins, where that is an origin."""


def ratio_text(counts: CacheCounts | None) -> str:
    """The share of requests that no origin was asked for."""
    ratio = hit_ratio(counts) if counts is not None else None
    return NONE if ratio is None else share_text(ratio)


def node_cells(status: NodeStatus, recently: Recently | None) -> tuple[Cell, ...]:
    """A node with gateways."""
    gateway = status.gateway
    assert gateway is not None, status.node
    return (
        Cell(ratio_text(recently.counts if recently else None), _ever(ratio_text(gateway.cache))),
        Cell(rate_text(recently.requests_s if recently else None), f"{count_text(requests_of(gateway.cache))} in all"),
        Cell(bytes_text(gateway.cache.saved_bytes)),
        Cell(
            bytes_text(gateway.memory.bytes),
            f"{bytes_text(gateway.disk.bytes)} on disk" if gateway.disk is not None else "",
        ),
    )


def _ever(text: str) -> str:
    return f"{text} in all" if text != NONE else ""


def totals(gateway: GatewayStatus, recently: Recently | None) -> dict[str, Cell]:
    """A node's figures."""
    disk = gateway.disk
    return {
        "Hit ratio": Cell(ratio_text(recently.counts if recently else None), _ever(ratio_text(gateway.cache))),
        "Requests/s": Cell(
            rate_text(recently.requests_s if recently else None), f"{count_text(requests_of(gateway.cache))} in all"
        ),
        "Bytes saved": Cell(
            bytes_text(gateway.cache.saved_bytes),
            f"{bytes_text(round(recently.saved_s))}/s" if recently is not None else "",
        ),
        "In memory": _tier(gateway.memory),
        "On disk": _tier(disk) if disk is not None else Cell(NONE, "no disk tier"),
        "Evicted": Cell(count_text(sum(tier.evicted for tier in _tiers(gateway))), "had to leave for others"),
    }


def _tiers(gateway: GatewayStatus) -> list[TierStatus]:
    return [gateway.memory] if gateway.disk is None else [gateway.memory, gateway.disk]


def _tier(tier: TierStatus) -> Cell:
    return Cell(bytes_text(tier.bytes), f"{_count(tier.objects, 'response')}")


def route_lines(status: NodeStatus) -> list[Line]:
    """The routes of a node, those that are asked most first. Of apps only those that have a cache are known."""
    gateway = status.gateway
    assert gateway is not None, status.node
    counts = gateway.routes
    names = sorted({*status.routes, *counts}, key=lambda name: (-requests_of(counts.get(name, CacheCounts())), name))
    return [_route(name, counts.get(name), status.routes.get(name), gateway.origins) for name in names]


def _route(
    name: str, counts: CacheCounts | None, route: RouteStatus | None, origins: Mapping[str, OriginStatus]
) -> Line:
    if counts is None:
        figures = [Cell(NONE)] * 5
    else:
        figures = [
            Cell(count_text(counts.hits + counts.stale), f"{count_text(counts.stale)} stale" if counts.stale else ""),
            Cell(count_text(counts.collapsed)),
            Cell(count_text(counts.validated)),
            Cell(count_text(counts.misses)),
            Cell(bytes_text(counts.saved_bytes)),
        ]
    return Line(name, (Cell(name), _leads_to(route, origins), Cell(ratio_text(counts)), *figures))


def _leads_to(route: RouteStatus | None, origins: Mapping[str, OriginStatus]) -> Cell:
    if route is None:
        return Cell(NONE, "is not there any more")
    if route.problem:
        return Cell(route.leads_to, route.problem, "bad")
    origin = origins.get(route.leads_to.removeprefix(ORIGIN)) if route.leads_to.startswith(ORIGIN) else None
    if origin is None:
        return Cell(route.leads_to)
    tone: Tone = "ok" if origin.healthy == origin.targets else "warn" if origin.healthy else "bad"
    return Cell(route.leads_to, f"{origin.healthy} of {_count(origin.targets, 'target')} in use", tone)


def top_line(top: TopObject) -> Line:
    """A stored response."""
    held = top.object
    variant = [f"{name}: {value}" if value is not None else f"no {name}" for name, value in held.variant.items()]
    said = [*held.key, *variant]
    if held.tags:
        said.append(f"tags {' '.join(held.tags)}")
    notes = [f"status {held.status}"] if held.status != 200 else []
    if held.tier == "disk":
        notes.append("on disk")
    is_fresh = held.ttl_s is not None and held.ttl_s > 0
    return Line(
        "\n".join((held.url, *held.key, "", *variant)),
        (
            Cell(cut_text(held.url, URL_CHARACTERS), cut_text(", ".join(said), URL_CHARACTERS)),
            Cell(bytes_text(held.bytes), ", ".join(notes)),
            Cell(duration_text(held.age_s * 1000)),
            Cell(
                duration_text(held.ttl_s * 1000) if held.ttl_s is not None and is_fresh else "stale",
                tone="" if is_fresh else "warn",
            ),
            Cell(count_text(held.hits), f"in {top.gateways} gateways" if top.gateways > 1 else ""),
        ),
    )


def purge_subject(order: PurgeOrder) -> str:
    """What an order is about."""
    if order.all:
        return "everything"
    if order.tag is not None:
        return f"what has the tag {cut_text(order.tag, URL_CHARACTERS)}"
    if order.prefix is not None:
        return f"all that begins with {cut_text(order.prefix, URL_CHARACTERS)}"
    return f"all that is stored of {cut_text(order.url or '', URL_CHARACTERS)}"


def purge_consequence(order: PurgeOrder, node: str, *, has_below: bool, is_far: bool) -> str:
    """What an order will do, said before it is done."""
    where = f"{node} and of all nodes below it" if has_below else node
    if order.soft:
        text = f"The gateways of {where} keep it to stand in for servers that fail, and ask these before they give it again."
    else:
        text = f"The gateways of {where} forget it, and ask for it again."
    if has_below:
        text += " Nodes that are away do so when they return, before they give anything."
    return f"{text} The node is asked by way of its inbox." if is_far else text


def purge_text(outcome: PurgeOutcome, node: str, *, has_below: bool) -> str:
    """What came of an order."""
    done = f"Purge {count_text(outcome.number)}: {_count(outcome.objects, 'stored response')} in"
    text = f"{done} {_count(outcome.gateways, 'gateway')} of {node}"
    if outcome.unconfirmed:
        text += f"; {_count(outcome.unconfirmed, 'gateway')} of it did not confirm in time, and will do it first of all"
    return f"{text}. The nodes below do it as they hear of it." if has_below else f"{text}."


def _count(number: int, noun: str) -> str:
    return f"{count_text(number)} {noun}{'s' * (number != 1)}"
