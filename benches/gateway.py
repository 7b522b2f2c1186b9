"""The gateway as a cache and as a proxy, beside nginx and Varnish: one process each, on a core of its own, with the origin
and the load generator on the other. In rounds, one after the other, so that whatever else the machine does meets all.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benches.harness import Row, free_port, process, process_rss_mb
from benches.node import BenchNode, running_node, wait_for
from littoral.core.resources import Origin, Route
from littoral.core.resources.part import Metadata, RouteMatch
from littoral.core.resources.web import Cache, OriginSpec, RouteSpec, Target
from littoral.fleet.desired import record_of

BUILD = Path("build")
ROUNDS = 3
SECONDS = 4
CONNECTIONS = 64
BODY = "x" * 1024
LARGE_BYTES = 1 << 30
STORED_BYTES = 256 << 20
SERVED, LOADED = {0}, {1}
"""Cores: of what is measured, and of the rest."""

ORIGIN = """
worker_processes 1; daemon off; pid {at}/origin.pid; error_log {at}/origin.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {at}/o1; proxy_temp_path {at}/o2;
  fastcgi_temp_path {at}/o3; uwsgi_temp_path {at}/o4; scgi_temp_path {at}/o5; default_type text/plain;
  server {{
    listen 127.0.0.1:{port};
    location /hit {{ add_header cache-control max-age=3600; return 200 "{body}"; }}
    location /pass {{ add_header cache-control no-store; return 200 "{body}"; }}
    location /large {{ root {at}/files; add_header cache-control no-store; }}
    location /stored {{ root {at}/files; add_header cache-control max-age=3600; }}
  }}
}}
"""
NGINX = """
worker_processes 1; daemon off; pid {at}/nginx.pid; error_log {at}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {at}/n1; proxy_temp_path {at}/n2;
  fastcgi_temp_path {at}/n3; uwsgi_temp_path {at}/n4; scgi_temp_path {at}/n5;
  proxy_cache_path {at}/n6 keys_zone=hits:10m;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass_request_headers on;
    location ~ ^/(hit|stored) {{
      proxy_cache hits; proxy_pass http://origin; add_header x-cache $upstream_cache_status;
    }}
    location / {{ proxy_pass http://origin; }}
  }}
}}
"""
VARNISH = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_recv {{ if (req.url ~ "^/hit") {{ return (hash); }} return (pass); }}
"""


def measure() -> list[Row]:
    """Rows for the table."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name, ExitStack() as stack:
        at = Path(name).absolute()
        at.chmod(0o755)  # nginx's workers are somebody else where it is started by root
        files = at / "files"
        files.mkdir()
        for file, size in (("large", LARGE_BYTES), ("stored", STORED_BYTES)):
            with (files / file).open("wb") as body:
                body.truncate(size)
        origin = free_port()
        stack.enter_context(_nginx(at, "origin", ORIGIN, origin, LOADED, body=BODY))
        nginx, varnish = free_port(), free_port()
        stack.enter_context(_nginx(at, "nginx", NGINX, nginx, SERVED, origin=origin))
        stack.enter_context(_varnish(at, varnish, origin))
        node = stack.enter_context(running_node(at))
        ours = node.port("gateway")
        _route(node, origin)
        gateway = node.pids()["gateway-0"]
        os.sched_setaffinity(gateway, SERVED)
        ports = {"nginx": nginx, "Varnish": varnish, "ours": ours}
        rows = _rates("cache hit, 1 KiB", ports, "/hit", {"nginx": 0.65, "Varnish": 0.75})
        rows += _rates("proxied, not cached, 1 KiB", ports, "/pass", {"nginx": 0.35, "Varnish": None})
        pair = {"nginx": nginx, "ours": ours}
        return rows + _large(gateway, pair) + _stored(gateway, pair)


@contextmanager
def _nginx(at: Path, name: str, text: str, port: int, cores: set[int], **values: object) -> Iterator[None]:
    file = at / f"{name}.conf"
    file.write_text(text.format(at=at, port=port, **values), encoding="ascii")
    with process([*_on(cores), "nginx", "-p", str(at), "-c", str(file)], port):
        yield


@contextmanager
def _varnish(at: Path, port: int, origin: int) -> Iterator[None]:
    file = at / "default.vcl"
    file.write_text(VARNISH.format(origin=origin), encoding="ascii")
    command = ["varnishd", "-F", "-j", "none", "-n", str(at / "varnish"), "-f", str(file), "-s", "malloc,256m"]
    with process([*_on(SERVED), *command, "-a", f"127.0.0.1:{port}", "-p", "thread_pools=1"], port):
        yield


def _on(cores: set[int]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, sorted(cores)))]


def _route(node: BenchNode, origin: int) -> None:
    servers = Origin(
        api_version="littoral/v1",
        metadata=Metadata(name="servers"),
        spec=OriginSpec(targets=[Target(url=f"http://127.0.0.1:{origin}")]),
    )
    route = Route(
        api_version="littoral/v1",
        metadata=Metadata(name="all"),
        spec=RouteSpec(match=[RouteMatch()], origin="servers", cache=Cache()),
    )
    node.apply([record_of(servers, None), record_of(route, None)])
    wait_for(lambda: _fetched(node.port("gateway"), "/hit"))


def _fetched(port: int, path: str) -> bool:
    return subprocess.run(["curl", "-fso", "/dev/null", f"http://127.0.0.1:{port}{path}"], check=False).returncode == 0


def _rates(what: str, ports: dict[str, int], path: str, goals: dict[str, float | None]) -> list[Row]:
    for port in ports.values():
        assert _fetched(port, path), port
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            rates[name].append(_wrk(port, path))
    ours = rates.pop("ours")
    rows = []
    for name, theirs in rates.items():
        ratios = tuple(mine / other for mine, other in zip(ours, theirs, strict=True))
        best = max(ours), max(theirs)
        rows.append(
            Row(f"{what}, {CONNECTIONS} connections", best[0], "requests/s", best[1], name, goals[name], ratios=ratios)
        )
    return rows


def _wrk(port: int, path: str) -> float:
    command = [*_on(LOADED), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", f"http://127.0.0.1:{port}{path}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in output, output
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found, output
    return float(found[1])


def _large(gateway: int, ports: dict[str, int]) -> list[Row]:
    """A body of 1 GiB that is not stored: how fast it goes through, and what memory it takes."""
    before = process_rss_mb(gateway)
    took = {name: _timed(partial(_fetched, port, "/large")) for name, port in ports.items()}
    mib = LARGE_BYTES / 2**20
    return [
        Row("a body of 1 GiB, proxied", mib / took["ours"], "MiB/s", mib / took["nginx"], "nginx"),
        Row("the same: memory of the gateway grows by", max(process_rss_mb(gateway) - before, 0), "MiB", most=16),
    ]


def _stored(gateway: int, ports: dict[str, int]) -> list[Row]:
    """A body that is on disk: how fast it is given, and what memory it takes."""
    before = process_rss_mb(gateway)
    for port in ports.values():
        assert _fetched(port, "/stored"), port
    took: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            took[name].append(_timed(partial(_fetched, port, "/stored")))
    mib, what = STORED_BYTES / 2**20, f"a body of {STORED_BYTES >> 20} MiB, from the cache's disk"
    ratios = tuple(theirs / ours for ours, theirs in zip(took["ours"], took["nginx"], strict=True))
    return [
        Row(what, mib / min(took["ours"]), "MiB/s", mib / min(took["nginx"]), "nginx", ratios=ratios),
        Row("the same: memory of the gateway grows by", max(process_rss_mb(gateway) - before, 0), "MiB", most=16),
    ]


def _timed(work: Callable[[], bool]) -> float:
    began_s = time.monotonic()
    assert work()
    return time.monotonic() - began_s
