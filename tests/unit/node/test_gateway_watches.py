"""What is written down of which route's requests."""

import json
from pathlib import Path

from littoral.core.limits import Limits
from littoral.core.resources.access_log import AccessLog, RouteLog
from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import RouteSpec
from littoral.gateway.field_block import FieldBlock
from littoral.gateway.gateway import NOBODY
from littoral.gateway.noted import Noted
from littoral.gateway.notes import Notes
from littoral.gateway.watch import Watch
from littoral.node.gateway_config import GatewayConfig, app_routes, route_matches
from littoral.node.gateway_watches import GatewayWatches
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock


def spec(log: RouteLog | None = None, *, timing: bool = False) -> RouteSpec:
    return RouteSpec(match=[RouteMatch(path="/*")], origin="o", access_log=log, server_timing=timing)


def config(log: AccessLog | None, **routes: RouteSpec) -> GatewayConfig:
    ways = app_routes("hello", [RouteMatch(path="/hello")])
    for name, each in routes.items():
        ways += route_matches(name, each.match)
    return GatewayConfig(ways, web=routes, access_log=log)


def take(watch: Watch, path: str, status: int = 200) -> None:
    clock = FakeClock()
    notes = Notes(clock.monotonic_s, clock.monotonic_s())
    notes.request_id = "g-1"
    exchange = Noted(MemoryExchange(target=path), notes)
    exchange.respond(status, FieldBlock(()), (), b"")
    assert watch.log is not None
    watch.log.take(exchange, notes, status, 0.0)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_nothing_is_watched_unless_somebody_says_so(tmp_path: Path) -> None:
    watches = GatewayWatches(tmp_path / "log", 0, FakeClock(), print)
    assert watches.configure(config(None, shop=spec(RouteLog())), Limits()) == {}
    assert watches.configure(config(None, shop=spec(timing=True)), Limits()) == {
        "route/shop": Watch(None, shows_timing=True)
    }
    watches.close()
    assert (list(tmp_path.iterdir()), watches.written, watches.dropped) == ([], 0, 0)


def test_each_route_is_written_down_as_it_says_or_else_as_the_node_does(tmp_path: Path) -> None:
    watches = GatewayWatches(tmp_path / "log", 3, FakeClock(), print)
    found = watches.configure(
        config(
            AccessLog(sample_percent=0.0, fields=["path"]),
            silent=spec(RouteLog(enabled=False)),
            whole=spec(RouteLog(sample_percent=100.0)),
            other=spec(RouteLog(fields=["status"])),
            plain=spec(timing=True),
        ),
        Limits(),
    )
    assert found.keys() == {NOBODY, "app/hello", "route/whole", "route/other", "route/plain"}
    assert [to for to, watch in found.items() if watch.shows_timing] == ["route/plain"]
    for to in sorted(found):
        take(found[to], f"/{to}")
        take(found[to], f"/{to}", 500)
    watches.close()
    assert lines(tmp_path / "log" / "access-3.jsonl") == [
        {"path": "/"},
        {"path": "/app/hello"},
        {"status": 500},
        {"path": "/route/plain"},
        {"path": "/route/whole"},
        {"path": "/route/whole"},
    ]
    assert watches.written == 6


def test_a_directory_and_bounds_that_change_hold_from_then_on(tmp_path: Path) -> None:
    watches = GatewayWatches(tmp_path / "log", 0, FakeClock(), print)
    log = AccessLog(directory=str(tmp_path / "elsewhere"), fields=["path"])
    watches.configure(config(AccessLog()), Limits())
    found = watches.configure(config(log), Limits({"access-log-waiting-bytes": 20}))
    take(found[NOBODY], "/a")
    take(found[NOBODY], "/b")
    watches.close()
    found_lines = lines(tmp_path / "elsewhere" / "access-0.jsonl")
    assert found_lines == [{"path": "/a"}, {"time": "2023-11-14T22:13:20.000Z", "dropped": 1}]
    assert (watches.written, watches.dropped) == (1, 1)
    assert not (tmp_path / "log").exists()
