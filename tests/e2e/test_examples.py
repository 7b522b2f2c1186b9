"""The functions in `examples/`, deployed to a real node and asked as their visitors ask them."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import io
import json
import re
import shlex
import shutil
import socketserver
import sys
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from PIL import Image

from littoral.cli.main import run
from tests.e2e.test_pages import CLASSIFYING, commands
from tests.support.real_node import RealNode, Reply, call
from tests.support.wheels import installed_wheels, only_from

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = (
    "geo-pricing",
    "api-gateway",
    "ab-test",
    "streamed-page",
    "cron-and-queue",
    "notes",
    "classify",
    "image-resize",
)
KEY = "a-key-that-is-shared"


class Server(BaseHTTPRequestHandler):
    """Says by which server, how, and for whom it was asked."""

    def do_GET(self) -> None:
        told = {"at": port_of(self.server), "path": self.path, "user": self.headers["x-user"]}
        body = json.dumps(told | {"authorization": self.headers["authorization"]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def port_of(server: socketserver.BaseServer) -> int:
    assert isinstance(server, ThreadingHTTPServer)
    return server.server_port


class Street:
    """The node with all examples, and the servers behind the API gateway."""

    def __init__(self, node: RealNode, folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), Server) for _ in range(2)]
        for server in self.servers:
            Thread(target=server.serve_forever, daemon=True).start()

    def littoral(self, *arguments: str, said: str = "") -> str:
        # What is read of a stream is written as bytes.
        printed = io.TextIOWrapper(io.BytesIO(), write_through=True)
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            for name, value in only_from(self.folder / "index").items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said.encode())))
            status = run([*arguments, "--data-dir", str(self.node.data_dir)])
        printed.seek(0)
        text = printed.read()
        assert status == 0, text
        return text

    def deploy(self, name: str) -> None:
        shutil.copytree(EXAMPLES / name, self.folder / name)
        document = self.folder / name / "littoral.yaml"
        if name == "image-resize":
            # No index has a wheel of it.
            installed_wheels(self.folder / name / "wheels", "pyvips")
        if document.exists():
            text = document.read_text()
            for port, server in zip(("7611", "7612"), self.servers, strict=True):
                text = text.replace(port, str(port_of(server)))
            document.write_text(text)
        self.littoral("deploy", name)

    def get(self, host: str, path: str = "/", **headers: str) -> Reply:
        return self.ask("GET", host, path, None, headers)

    def ask(self, method: str, host: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(self.node.url("gateway") + path, method, body, {"host": host, **fields})


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    folder = tmp_path_factory.mktemp("examples")
    installed_wheels(folder / "index", "fastapi", "pyvips-binary")
    with RealNode("edge", listen={"gateway": "127.0.0.1:0"}) as node:
        node.config = msgspec.structs.replace(
            node.config, spec=msgspec.structs.replace(node.config.spec, country_header="cf-ipcountry")
        )
        street = Street(node.start(), folder)
        for name in NAMES:
            street.deploy(name)
        street.littoral("secret", "put", "api-gateway", "JWT_KEY", said=KEY)
        # Its workers are replaced by ones that have it.
        street.node.until(lambda: street.get("api.example").status == 401)
        yield street
        for server in street.servers:
            server.shutdown()
            server.server_close()


def test_all_that_are_there_are_deployed_here() -> None:
    assert {each.name for each in EXAMPLES.iterdir() if each.is_dir()} - set(NAMES) <= {"factory"}
    listed = (EXAMPLES / "README.md").read_text()
    assert [name for name in NAMES if f"[{name}]" not in listed] == []


def test_prices_are_in_the_currency_of_the_country(street: Street) -> None:
    assert b"9.00 \xe2\x82\xac" in street.get("prices.example").body
    assert b"$46.20" in street.get("prices.example", cf_ipcountry="US").body
    swiss = street.get("prices.example", cf_ipcountry="CH")
    assert b"CHF 122.86" in swiss.body
    assert swiss.headers["vary"] == "cf-ipcountry"


def token(key: str = KEY, **claims: object) -> str:
    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT"}
    signed = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"Bearer {signed}.{encoded(hmac.digest(key.encode(), signed.encode(), hashlib.sha256))}"


def test_the_api_gateway_knows_its_users_counts_them_and_sends_them_to_their_servers(street: Street) -> None:
    soon = int(time.time()) + 600
    refusals = [
        street.get("api.example"),
        street.get("api.example", authorization="Bearer nonsense"),
        street.get("api.example", authorization=token("another key", sub="ann", exp=soon)),
        street.get("api.example", authorization=token(sub="ann", exp=1)),
    ]
    assert [refusal.status for refusal in refusals] == [401] * 4, street.node.log()[-3000:]
    free, gold = (port_of(server) for server in street.servers)
    told = street.get("api.example", "/orders", authorization=token(sub="ann", plan="gold", exp=soon)).json()
    assert told == {"at": gold, "path": "/orders", "user": "ann", "authorization": None}
    bob = [street.get("api.example", authorization=token(sub="bob", exp=soon)) for _ in range(8)]
    # A minute may have begun in between: then there were three more.
    assert [each.json()["at"] for each in bob if each.status == 200] in ([free] * 3, [free] * 4, [free] * 5, [free] * 6)
    assert 429 in {each.status for each in bob}
    assert next(each for each in bob if each.status == 429).headers["retry-after"] == "60"


def test_a_visitor_sees_the_same_version_each_time(street: Street) -> None:
    first = street.get("landing.example")
    kept = re.match("landing=(old|new);", first.headers["set-cookie"])
    assert kept is not None
    again = [street.get("landing.example", cookie=f"landing={kept[1]}") for _ in range(3)]
    assert {each.body for each in again} == {first.body}
    assert all("set-cookie" not in {name.lower() for name in each.headers} for each in again)
    assert street.get("landing.example", cookie="landing=new").body == b"<h1>Cups that last</h1>"
    assert street.get("landing.example", cookie="landing=forged").body != b""
    views = "edge/analytics/landing-views"
    street.node.until(lambda: views in street.littoral("stream", "list"))
    street.node.until(lambda: '"new"' in street.littoral("stream", "read", views))


def test_a_page_comes_as_it_is_made(street: Street) -> None:
    connection = http.client.HTTPConnection(street.node.url("gateway").removeprefix("http://"), timeout=30)
    connection.request("GET", "/?name=Ann", headers={"host": "shop.example"})
    answer = connection.getresponse()
    assert answer.getheader("transfer-encoding") == "chunked"
    pieces = []
    while piece := answer.read1():
        pieces.append(piece)
    assert b"<h1>Shop</h1>" in pieces[0]
    assert b"Espresso" not in pieces[0]
    assert b"".join(pieces).endswith(b"<li>Grinder for Ann</li>\n</ul>\n</html>\n")
    connection.close()


def test_what_a_cron_trigger_puts_into_a_queue_is_done(street: Street) -> None:
    street.littoral("call", "--app", "cron-and-queue", "--scheduled", "*/5 * * * *")

    def machines() -> set[str]:
        return {name.partition("/")[0] for name in street.get("reports.example").json()}

    street.node.until(lambda: machines() == {"press", "oven", "saw"})


def test_a_fastapi_application_keeps_notes(street: Street) -> None:
    headers = {"content-type": "application/json"}
    written = street.ask("POST", "notes.example", "/notes", b'{"text": "moin"}', headers)
    assert written.status == 201
    where = f"/notes/{written.json()['id']}"
    assert street.get("notes.example", where).json() == {"text": "moin"}
    assert street.ask("POST", "notes.example", "/notes", b'{"text": ""}', headers).status == 422
    assert street.ask("DELETE", "notes.example", where, None, {}).status == 204
    assert street.get("notes.example", where).status == 404


def picture_of(reply: Reply) -> tuple[str | None, tuple[int, int], str]:
    """What a decoder that is not libvips sees: the format, the size, and what the fields say."""
    with Image.open(io.BytesIO(reply.body)) as picture:
        picture.load()
        return picture.format, picture.size, reply.headers["content-type"]


def test_photos_come_in_the_size_and_format_that_is_asked_for_and_are_kept(street: Street) -> None:
    def photo(accept: str, width: int = 320) -> Reply:
        return street.get("images.example", f"/sunset.jpg?width={width}", accept=accept)

    avif, webp = photo("text/html, image/avif,image/webp;q=0.8, */*"), photo("image/webp, */*")
    assert picture_of(avif) == ("AVIF", (320, 213), "image/avif"), street.node.log()[-3000:]
    assert picture_of(webp) == ("WEBP", (320, 213), "image/webp")
    assert picture_of(photo("*/*", 2000)) == ("JPEG", (1200, 800), "image/jpeg")
    assert (webp.headers["vary"], webp.headers["cache-control"]) == ("accept", "public, max-age=86400")
    street.node.until(lambda: photo("image/webp").headers.get("cf-cache-status") == "HIT")
    assert photo("image/webp").body == webp.body
    assert (street.get("images.example", "/moon.jpg?width=320").status, photo("*/*", 4).status) == (404, 400)


def test_a_picture_that_is_sent_is_resized_and_what_is_none_is_refused(street: Street) -> None:
    def sent(body: bytes) -> Reply:
        return street.ask("POST", "images.example", "/?width=100", body, {"accept": "image/avif"})

    def written(kind: str, size: tuple[int, int], **options: Any) -> bytes:
        into = io.BytesIO()
        Image.radial_gradient("L").resize(size).save(into, kind, **options)
        return into.getvalue()

    assert picture_of(sent(written("PNG", (400, 300)))) == ("AVIF", (100, 75), "image/avif")
    on_its_side = Image.Exif()
    on_its_side[0x0112] = 6
    assert picture_of(sent(written("JPEG", (400, 300), exif=on_its_side)))[1] == (100, 133)
    whole, drawing = written("JPEG", (400, 300)), b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    refused = [sent(each) for each in (b"", drawing, whole[:-200], bomb.getvalue(), bytes(9 << 20))]
    assert [each.status for each in refused] == [422, 422, 422, 422, 413]
    assert "9000 x 9000 pixels" in refused[3].json()["detail"]
    assert {each.headers["content-type"] for each in refused} == {"application/problem+json"}


def test_a_machine_that_fails_is_known_by_its_last_hour(street: Street) -> None:
    headers = {"content-type": "application/json"}
    cold, well = [30.0 + each for each in range(12)], [90.0] * 12

    def ask(said: object) -> Reply:
        return street.ask("POST", "machine.example", "/", json.dumps(said).encode(), headers)

    answer = ask([cold, well])
    assert [each["failing"] for each in answer.json()] == [True, False], street.node.log()[-3000:]
    assert ask(cold).json()[0]["probability"] > 0.9
    refused = ask([1.0, 2.0])
    assert refused.status == 422
    assert '"readings" (float32 [any, 12]) was given float64 [1, 2]' in refused.json()["error"]
    deploys, asks = commands(CLASSIFYING)
    assert deploys == "littoral deploy examples/classify --data-dir data"  # as `Street.deploy` does
    curl = shlex.split(asks)
    assert curl[-1].startswith("http://127.0.0.1:")
    sent = json.loads(curl[curl.index("-d") + 1])
    assert curl[curl.index("-H") + 1] == "host: machine.example"
    assert [each["failing"] for each in ask(sent).json()] == [False]
