"""Tiers: a site's gateway asks that of its region before the origin, and that one the cloud's; with real nodes."""

import contextlib
import http.client
import re
import signal
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec
import pytest

from littoral.core.resources.part import Metadata, RouteMatch
from littoral.core.resources.web import Origin, OriginSpec, Route, RouteSpec, Target
from tests.support.certificates import TestCa
from tests.support.ports import free_base_port
from tests.support.real_node import RealNode, until

HOST = "edge.test"
VERSION: Final = "littoral/v1"
WAITING = 64


class Shop:
    """An origin whose pages have a version. Use as a context manager."""

    def __init__(self) -> None:
        self.version = "1"
        self.asked: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.go = threading.Event()
        self.go.set()
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                shop.asked.append(self.path)
                shop.heads.append({name.lower(): value for name, value in self.headers.items()})
                body = shop.version.encode()
                shop.go.wait()
                self.send_response(200)
                self.send_header("cache-control", "max-age=600")
                self.send_header("cache-tag", "all")
                self.send_header("littoral-age", "0")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Tree:
    """cloud ── region ── site-a, site-b; all serve the shop's pages."""

    def __init__(self, shop: Shop, stack: contextlib.ExitStack) -> None:
        self.shop = shop
        port = free_base_port(4)
        fixed = {name: f"127.0.0.1:{port + at}" for at, name in enumerate(("peer", "join", "relay", "api"))}
        self.cloud = self._start(stack, RealNode("cloud", listen=_listen(relay=True)))
        # It comes back where it was.
        region = RealNode("region", "region", parent=self.cloud, listen=_listen(relay=True) | fixed)
        self.region = self._start(stack, region, self.cloud)
        self.sites = [
            self._start(stack, RealNode(name, "site", parent=self.region, listen=_listen()), self.region)
            for name in ("site-a", "site-b")
        ]
        spec = OriginSpec(targets=[Target(url=shop.url)])
        route = RouteSpec(match=[RouteMatch(path="/*")], origin="shop")
        self.cloud.apply(Origin(api_version=VERSION, metadata=Metadata(name="shop"), spec=spec))
        self.cloud.apply(Route(api_version=VERSION, metadata=Metadata(name="pages"), spec=route))
        until(lambda: all(get(node, "/warm").status == 200 for node in self.nodes))
        for site in self.sites:
            until_tiers(site, "region", "cloud")
        shop.asked.clear()

    @property
    def nodes(self) -> list[RealNode]:
        return [self.cloud, self.region, *self.sites]

    def _start(self, stack: contextlib.ExitStack, node: RealNode, parent: RealNode | None = None) -> RealNode:
        stack.enter_context(node)
        return node.start(parent.token(node.name) if parent is not None else None)


def _listen(*, relay: bool = False) -> dict[str, str]:
    return dict.fromkeys(("gateway", "relay") if relay else ("gateway",), "127.0.0.1:0")


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    with contextlib.ExitStack() as stack:
        yield Tree(stack.enter_context(Shop()), stack)


class Reply(NamedTuple):
    """An answer of a gateway's."""

    status: int
    fields: list[tuple[str, str]]
    """Lines of one name apart."""
    body: bytes


def get(node: RealNode, path: str, **fields: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", node.port("gateway"), timeout=20)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request("GET", path, headers={"host": HOST, **named})
        answer = connection.getresponse()
        return Reply(answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read())


def said(reply: Reply) -> list[str]:
    """What each cache says, the one nearest to the origin first."""
    return [each.strip() for name, value in reply.fields if name == "cache-status" for each in value.split(",")]


def ours(fields: Iterable[tuple[str, str]]) -> list[str]:
    """Fields that gateways say to each other only."""
    return [name for name, _ in fields if name.startswith("littoral-")]


_number = 0


def fresh_path() -> str:
    """One that nobody has asked for."""
    global _number  # noqa: PLW0603 -- of this file's tests
    _number += 1
    return f"/page/{_number}"


def until_tiers(site: RealNode, *above: str) -> None:
    """Until a miss at a site asks these."""
    until(lambda: all(any(name in each for each in said(get(site, fresh_path()))) for name in above), site.log)


def test_a_miss_asks_each_tier_and_the_origin_once(tree: Tree) -> None:
    one, other = tree.sites
    path = fresh_path()
    first = get(one, path)
    assert [each.split(";")[0] for each in said(first)] == ["littoral-cloud", "littoral-region", "littoral-site-a"]
    assert all("fwd=uri-miss; stored" in each for each in said(first))
    second = get(other, path)
    assert re.fullmatch(r"littoral-region; hit; ttl=\d+", said(second)[0])
    assert said(second)[1].startswith("littoral-site-b; fwd=uri-miss; stored")
    assert [each.split(";")[:2] for each in said(get(one, path))] == [["littoral-site-a", " hit"]]
    assert tree.shop.asked.count(path) == 1
    assert not ours(first.fields + second.fields)


def test_many_misses_at_two_sites_cost_the_origin_one_request(tree: Tree) -> None:
    path = fresh_path()
    tree.shop.go.clear()
    with ThreadPoolExecutor(WAITING) as clients:
        waiting = [clients.submit(get, tree.sites[number % 2], path) for number in range(WAITING)]
        until(lambda: path in tree.shop.asked)
        tree.shop.go.set()
        replies = [each.result() for each in waiting]
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"1")}
    assert tree.shop.asked.count(path) == 1


def purge(node: RealNode, path: str) -> None:
    reply = node.api("POST", "/v1/cache/purge", msgspec.json.encode({"url": f"{HOST}{path}"}))
    assert (reply.status, reply.json()["unconfirmed"]) == (200, 0)


def test_what_is_purged_at_the_root_no_tier_gives_once_it_has_come(tree: Tree) -> None:
    path = fresh_path()
    for node in (*tree.sites, tree.region, tree.cloud):
        get(node, path)
    tree.shop.version = "2"
    purge(tree.cloud, path)
    until(lambda: {get(site, path).body for site in tree.sites} == {b"2"})
    assert {get(node, path).body for node in tree.nodes} == {b"2"}
    tree.shop.version = "1"


def test_what_is_purged_at_a_site_is_not_brought_back_from_above(tree: Tree) -> None:
    path = fresh_path()
    one, other = tree.sites
    get(one, path)
    tree.shop.version = "2"
    purge(one, path)
    assert get(one, path).body == b"2"
    assert get(other, path).body == b"1", "which did not ask for it to be purged"
    purge(one, path)
    counted = re.compile(r'littoral_http_shield_gone_on_total\{reason="purged",route="pages"\} [1-9]')
    until(lambda: counted.search(one.api("GET", "/metrics").body.decode()))
    one.kill_hub()
    until(lambda: get(one, path).body == b"2")
    # The parent is asked again once the new hub has greeted it.
    until(lambda: len(said(get(one, fresh_path()))) == 3)
    tree.shop.version = "1"


def test_what_a_client_or_an_origin_says_in_fields_of_ours_has_no_effect(tree: Tree) -> None:
    path = fresh_path()
    site = tree.sites[0]
    reply = get(site, path, littoral_relay="other 9 x", littoral_age="1", x_forwarded_for="203.0.113.9")
    assert len(said(reply)) == 3
    head = tree.shop.heads[-1]
    assert not ours(head.items())
    assert head["x-forwarded-for"] == "203.0.113.9, 127.0.0.1", "as if the site had asked"
    assert head["x-forwarded-proto"] == "http"
    assert not ours(reply.fields)


# Who is let in


def ask_relay(node: RealNode, context: ssl.SSLContext) -> str:
    """The status line; empty for none."""
    address = ("127.0.0.1", node.port("relay"))
    try:
        with (
            socket.create_connection(address, 5) as plain,
            context.wrap_socket(plain, server_hostname=node.name) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nhost: edge.test\r\nconnection: close\r\n\r\n")
            return tls.recv(4096).split(b"\r\n", 1)[0].decode()
    except (ssl.SSLError, ConnectionError):
        return ""


def shows(node: RealNode, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Trusts the tree's CA, and shows a certificate: by default that of a node."""
    identity = node.data_dir / "identity"
    context = ssl.create_default_context(cafile=identity / "ca.pem")
    context.load_cert_chain(certificate or identity / "cert.pem", key or identity / "key.pem")
    return context


def test_only_children_are_let_in(tree: Tree, tmp_path: Path) -> None:
    region, site = tree.region, tree.sites[0]
    assert ask_relay(region, shows(site)).startswith("HTTP/1.1 400 "), "let in, and understood"
    assert ask_relay(region, shows(tree.cloud)).startswith("HTTP/1.1 403 "), "a node of the tree, and no child"
    assert ask_relay(tree.cloud, shows(site)).startswith("HTTP/1.1 403 "), "a child of another node"
    stranger = TestCa("elsewhere").issue("site-a").write(tmp_path, "stranger")
    assert not ask_relay(region, shows(site, *stranger))
    nobody = ssl.create_default_context(cafile=site.data_dir / "identity" / "ca.pem")
    assert not ask_relay(region, nobody)


def test_a_parent_that_is_gone_is_done_without_and_used_again_when_it_is_back(tree: Tree) -> None:
    site, region = tree.sites[0], tree.region
    path = fresh_path()
    get(site, path)
    _kill(region)
    for _ in range(4):
        assert [each.split(";")[0] for each in said(get(site, fresh_path()))] == ["littoral-site-a"]
    region.start()
    until_tiers(site, "region", "cloud")


def _kill(node: RealNode) -> None:
    """kill -9; its processes die with it."""
    assert node.process is not None
    node.process.send_signal(signal.SIGKILL)
    node.process.wait()
    pids = msgspec.json.decode((node.data_dir / "run" / "pids.json").read_bytes(), type=dict[str, int])
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids.values()))


def test_a_child_that_is_expelled_is_let_in_no_more(tree: Tree) -> None:
    region, site = tree.region, tree.sites[1]
    until_tiers(site, "region")
    assert region.api("DELETE", f"/v1/nodes/{site.name}").status == 204
    until(lambda: ask_relay(region, shows(site)).startswith("HTTP/1.1 403 "))
    assert [each.split(";")[0] for each in said(get(site, fresh_path()))] == ["littoral-site-b"]
