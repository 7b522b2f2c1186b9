from typing import Any

import pytest

from littoral.dashboard.cache_cells import (
    URL_CHARACTERS,
    node_cells,
    purge_consequence,
    purge_subject,
    purge_text,
    route_lines,
    top_line,
    totals,
)
from littoral.dashboard.cache_history import Recently
from littoral.node.cache_api import PurgeOrder
from littoral.node.cache_top import TopObject
from littoral.node.purge_messages import CachedObject, PurgeOutcome
from littoral.node.status import CacheCounts, GatewayStatus, OriginStatus, RouteStatus, TierStatus
from tests.support.statuses import status

COUNTS = CacheCounts(hits=6, stale=2, misses=2, saved_bytes=5000)
GATEWAY = GatewayStatus(
    2,
    COUNTS,
    TierStatus(10, 9000, 3),
    TierStatus(20, 90_000, 4),
    {"shop": COUNTS, "gone": CacheCounts(hits=1)},
    {"servers": OriginStatus(3, 2), "all-ill": OriginStatus(1, 0)},
)
ROUTES = {
    "shop": RouteStatus("1", "origin servers"),
    "ill": RouteStatus("1", "origin all-ill"),
    "app": RouteStatus("1", "app origin servers"),
    "lost": RouteStatus("1", "origin none", "there is no Origin none"),
}


def test_a_node_is_shown_with_what_it_does_now_and_has_done() -> None:
    reported = status("edge", gateway=GATEWAY)
    recently = Recently(CacheCounts(hits=1, misses=1, saved_bytes=500), 1000)
    assert [(cell.main, cell.sub) for cell in node_cells(reported, recently)] == [
        ("50 %", "80 % in all"),
        ("2.0", "10 in all"),
        ("5.0 kB", ""),
        ("9.0 kB", "90 kB on disk"),
    ]
    figures = totals(GATEWAY, recently)
    assert (figures["Bytes saved"].sub, figures["Evicted"].main) == ("500 B/s", "7")
    assert (figures["In memory"].sub, figures["On disk"].main) == ("10 responses", "90 kB")


def test_before_there_is_anything_nothing_is_made_up() -> None:
    empty = GatewayStatus(1, CacheCounts(), TierStatus(0, 0, 0))
    assert [cell.main for cell in node_cells(status("edge", gateway=empty), None)] == ["–", "–", "0 B", "0 B"]
    assert totals(empty, None)["On disk"].sub == "no disk tier"


def test_routes_say_where_they_lead_and_how_well_that_is() -> None:
    lines = {line.name: line.cells for line in route_lines(status("edge", gateway=GATEWAY, routes=ROUTES))}
    assert list(lines) == ["shop", "gone", "app", "ill", "lost"]
    assert [cell.main for cell in lines["shop"]] == ["shop", "origin servers", "80 %", "8", "0", "0", "2", "5.0 kB"]
    said = {name: (cells[1].main, cells[1].sub, cells[1].tone) for name, cells in lines.items()}
    assert said["shop"] == ("origin servers", "2 of 3 targets in use", "warn")
    assert said["ill"] == ("origin all-ill", "0 of 1 target in use", "bad")
    assert said["app"] == ("app origin servers", "", "")
    assert said["lost"] == ("origin none", "there is no Origin none", "bad")
    assert said["gone"] == ("–", "is not there any more", "")
    assert [cell.main for cell in lines["app"]][3:] == ["–"] * 5


def test_what_is_stored_is_told_by_what_distinguishes_it() -> None:
    url = "http://edge.test/" + "x" * 9000
    held = CachedObject(
        url, ["device mobile"], {"accept": "a", "x-b": None}, 404, 61, None, 500, 1000, ["one", "two"], "disk"
    )
    line = top_line(TopObject(held, 2))
    first, size, age, fresh, hits = line.cells
    assert (len(first.main), first.sub) == (URL_CHARACTERS, "device mobile, accept: a, no x-b, tags one two")
    assert (size.sub, age.main, fresh.main, fresh.tone, hits.sub) == (
        "status 404, on disk",
        "1 min 1 s",
        "stale",
        "warn",
        "in 2 gateways",
    )
    assert line.name.startswith(url)


@pytest.mark.parametrize(
    ("order", "subject"),
    [
        ({"url": "http://a/b"}, "all that is stored of http://a/b"),
        ({"tag": "page"}, "what has the tag page"),
        ({"prefix": "a/b/"}, "all that begins with a/b/"),
        ({"all": True}, "everything"),
    ],
)
def test_what_a_purge_does_is_said_before_and_afterwards(order: dict[str, Any], subject: str) -> None:
    assert purge_subject(PurgeOrder(**order)) == subject
    hard = purge_consequence(PurgeOrder(**order), "edge", has_below=False, is_far=False)
    assert hard == "The gateways of edge forget it, and ask for it again."
    soft = purge_consequence(PurgeOrder(**order, soft=True), "eu", has_below=True, is_far=True)
    assert "keep it to stand in" in soft
    assert "by way of its inbox" in soft
    assert "all nodes below" in soft
    assert purge_text(PurgeOutcome(7, 2, 1, 0), "edge", has_below=False) == (
        "Purge 7: 1 stored response in 2 gateways of edge."
    )
    assert "1 gateway of it did not confirm" in purge_text(PurgeOutcome(7, 1, 0, 1), "edge", has_below=True)
