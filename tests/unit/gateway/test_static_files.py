import asyncio
import os
from pathlib import Path

import pytest

from littoral.core.errors import MethodNotAllowed, NotFound
from littoral.core.resources.web import Static
from littoral.drivers.static_directory import PIECE_BYTES, StaticDirectory
from littoral.gateway.static_files import StaticFiles
from littoral.gateway.target import read_target
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock

CHANGED_S = 1_600_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, content in {
        "index.html": b"<p>home",
        "a b/index.html": b"<p>a b",
        "app.js": b"1",
        "empty.txt": b"",
        "data.csv.gz": b"\x1f\x8b",
        "404.html": b"<p>nothing",
        ".env": b"secret",
        ".well-known/security.txt": b"mail",
        ".git/config": b"secret",
        "large.bin": os.urandom(PIECE_BYTES * 2 + 7),
    }.items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (CHANGED_S, CHANGED_S))
    return tmp_path


def get(root: Path, target: str = "/", method: str = "GET", prefix: str = "", **fields: str) -> MemoryExchange:
    return get_with(root, Static(directory=str(root)), target, method, prefix, **fields)


def get_with(
    root: Path, spec: Static, target: str = "/", method: str = "GET", prefix: str = "", **fields: str
) -> MemoryExchange:
    exchange = MemoryExchange(method, target, [(name.replace("_", "-"), value) for name, value in fields.items()])
    files = StaticFiles(StaticDirectory(root), spec, prefix, FakeClock())
    assert asyncio.run(files.serve(exchange, read_target(target), "r-1")) == exchange.status
    return exchange


@pytest.mark.parametrize(
    ("target", "content", "kind"),
    [
        ("/", b"<p>home", "text/html; charset=utf-8"),
        ("/index.html", b"<p>home", "text/html; charset=utf-8"),
        ("/a%20b/", b"<p>a b", "text/html; charset=utf-8"),
        ("/app.js?v=1", b"1", "text/javascript; charset=utf-8"),
        ("/empty.txt", b"", "text/plain; charset=utf-8"),
        ("/.well-known/security.txt", b"mail", "text/plain; charset=utf-8"),
    ],
)
def test_files_are_given_with_what_they_are(root: Path, target: str, content: bytes, kind: str) -> None:
    found = get(root, target)
    assert (found.status, found.sent, found.said["content-type"]) == (200, content, kind)
    assert found.said["last-modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
    assert found.said["x-content-type-options"] == "nosniff"


def test_what_is_asked_for_packed_is_given_packed(root: Path) -> None:
    (root / "picture.svgz").write_bytes(b"\x1f\x8b")
    said = {name: get(root, name).said for name in ("/data.csv.gz", "/picture.svgz")}
    assert (said["/data.csv.gz"]["content-type"], said["/data.csv.gz"].get("content-encoding")) == (
        "application/gzip",
        None,
    )
    assert said["/picture.svgz"]["content-type"].startswith("image/svg+xml")
    assert said["/picture.svgz"]["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0, *", "gzip"),
        ("br;q=0, *;q=0", ""),
        ("identity", ""),
        ("zstd", ""),
    ],
)
def test_a_file_that_lies_there_compressed_is_given_so_to_who_takes_it(root: Path, accepts: str, coding: str) -> None:
    spec = Static(directory=str(root), precompressed=True)
    for suffix, content in ((".br", b"brotli"), (".gz", b"gzipped"), (".zst", b"of an older one")):
        (root / f"app.js{suffix}").write_bytes(content)
        changed_s = CHANGED_S - (suffix == ".zst")
        os.utime(root / f"app.js{suffix}", (changed_s, changed_s))
    found = get_with(root, spec, "/app.js", accept_encoding=accepts)
    assert found.said.get("content-encoding", "") == coding
    assert found.sent == {"br": b"brotli", "gzip": b"gzipped", "": b"1"}[coding]
    assert (found.said["content-type"], found.said["vary"]) == ("text/javascript; charset=utf-8", "accept-encoding")
    plain = get_with(root, spec, "/app.js")
    assert (found.said["etag"] == plain.said["etag"]) is (coding == "")
    same = get_with(root, spec, "/app.js", accept_encoding=accepts, if_none_match=found.said["etag"])
    assert (same.status, same.said["vary"]) == (304, "accept-encoding")
    part = get_with(root, spec, "/app.js", accept_encoding=accepts, range="bytes=1-2")
    assert part.sent == found.sent[1:3]
    assert "content-encoding" not in get(root, "/app.js", accept_encoding=accepts).said


def test_nothing_stays_open(root: Path) -> None:
    spec = Static(directory=str(root), precompressed=True)
    for suffix in (".br", ".gz"):
        (root / f"app.js{suffix}").write_bytes(b"packed")
    os.utime(root / "app.js.br", (0, 0))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        get_with(root, spec, "/app.js", accept_encoding="br, gzip")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "target",
    [
        "/missing",
        "/.env",
        "/.git/config",
        "/a%20b/.hidden",
        "/a%2Findex.html",
        "/%FF",
        "/app.js/",
    ],
)
def test_what_is_not_there_or_for_nobody_is_not_found(root: Path, target: str) -> None:
    with pytest.raises(NotFound):
        get(root, target)


def test_a_directory_without_its_slash_leads_to_itself_on_this_host(root: Path) -> None:
    found = get(root, "/a%20b?x=1")
    assert (found.status, found.said["location"]) == (301, "/a%20b/?x=1")
    assert get(root, "//a%20b").said["location"] == "/a%20b/"


def test_validators_and_ranges_are_answered(root: Path) -> None:
    first = get(root, "/index.html")
    assert get(root, "/index.html", if_none_match=first.said["etag"]).status == 304
    assert get(root, "/index.html", if_modified_since=first.said["last-modified"]).status == 304
    part = get(root, "/index.html", range="bytes=3-5")
    assert (part.status, part.sent, part.said["content-range"]) == (206, b"hom", "bytes 3-5/7")
    beyond = get(root, "/index.html", range="bytes=7-")
    assert (beyond.status, beyond.said["content-range"]) == (416, "bytes */7")
    head = get(root, "/index.html", "HEAD")
    assert (head.status, head.sent, head.said["content-length"]) == (200, b"", "7")
    (root / "index.html").write_bytes(b"<p>other")
    assert get(root, "/index.html", if_none_match=first.said["etag"]).status == 200


def test_a_large_file_is_sent_piece_by_piece(root: Path) -> None:
    content = (root / "large.bin").read_bytes()
    whole = get(root, "/large.bin")
    assert (whole.sent, whole.ended, whole.said["content-length"]) == (content, True, str(len(content)))
    assert get(root, "/large.bin", range="bytes=1-").sent == content[1:]


def test_a_route_says_what_is_given_instead(root: Path) -> None:
    single = get_with(root, Static(directory=str(root), single_page=True), "/orders/17")
    assert (single.status, single.sent) == (200, b"<p>home")
    lost = get_with(root, Static(directory=str(root), not_found="404.html"), "/orders/17")
    assert (lost.status, lost.sent, "etag" in lost.said) == (404, b"<p>nothing", False)


def test_a_prefix_is_taken_off(root: Path) -> None:
    assert get(root, "/docs/app.js", prefix="/docs").sent == b"1"
    assert get(root, "/docs/", prefix="/docs").sent == b"<p>home"
    assert get(root, "/docs/a%20b", prefix="/docs").said["location"] == "/docs/a%20b/"


def test_files_are_not_written_to(root: Path) -> None:
    with pytest.raises(MethodNotAllowed):
        get(root, "/index.html", "PUT")
