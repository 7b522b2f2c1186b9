"""What the gateway and its cache read out of fields and URLs, as functions of bytes: see tests.fuzz.targets."""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from littoral.core.errors import BadGateway, InvalidInput, NotFound
from littoral.core.resources.web import CacheKey, QueryKey, Static
from littoral.gateway.cache.key import key_maker, url_key
from littoral.gateway.cache.purge import Purge, aim_of, check_purge, decode_purge, read_place, tags_of
from littoral.gateway.cookies import cookies_of, without_cookie
from littoral.gateway.field_block import Fields
from littoral.gateway.forwarding import for_client, for_origin
from littoral.gateway.routes import normal_host
from littoral.gateway.static_files import WELL_KNOWN, OpenFile, StaticFiles
from littoral.gateway.target import RequestTarget, read_target
from littoral.gateway.tunnel import REFUSED, wanted_protocol
from littoral.wire.caching.fields import OF_THE_CONNECTION, members, table
from littoral.wire.caching.invalidation import invalidated
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.ranges import select
from littoral.wire.caching.selection import qualities, variant_key
from littoral.wire.caching.serving import age_s, decide, may_serve_on_error
from littoral.wire.caching.storing import Stored, judge
from littoral.wire.caching.validation import freshen, not_modified
from littoral.wire.relay import RELAY, decode_age_s, decode_request, encode_request
from littoral.wire.request_head import RefusedRequest, read_authority, read_fields
from tests.support.exchanges import MemoryExchange
from tests.support.fakes import FakeClock

NOW_S = 1_800_000_000.0
LENGTH = 1000
NEVER_OF_A_CONNECTION = frozenset({"host", "cache-control", "close", "keep-alive", "via"})
"""Though `connection` may name them; `via` is the gateway's own."""


def text(data: bytes) -> str:
    """As header fields are read."""
    return data.decode("latin-1")


def fields_of(data: bytes) -> Fields:
    """A head's; none for what is no head."""
    try:
        return read_fields(data, 128).fields
    except RefusedRequest:
        return ()


def cookies(data: bytes) -> None:
    """A cookie that is taken out is not there any more, and the others are."""
    fields = [("cookie", text(line)) for line in data.split(b"\n")]
    found = cookies_of(fields)
    for name in found:
        left = cookies_of(without_cookie(fields, name))
        assert name not in left
        assert left.keys() - {""} == found.keys() - {name, ""}


def tags(data: bytes) -> None:
    """Whatever an answer is tagged with, a purge can be meant for, unless nobody can write it."""
    found = tags_of([("cache-tag", text(line)) for line in data.split(b"\n")])
    assert len(set(found)) == len(found)
    for tag in found:
        if tag.isascii() and tag.isprintable():
            assert aim_of(check_purge(Purge("tag", tag)), ()).hits("http://a/", found)


def purges(data: bytes) -> None:
    """A purge of a URL is meant for what is asked for at that URL; a record that cannot be read is meant for everything."""
    record = decode_purge(data)
    assert record == check_purge(record)
    try:
        place = read_place(text(data))
    except InvalidInput:
        return
    aim = aim_of(Purge("url", text(data)), [key_maker(CacheKey())])
    for scheme in place.schemes:
        key = url_key(scheme, place.host, str(place.target))
        assert aim.hits(key, ())
        assert read_place(key).target == place.target


class _Keyed(NamedTuple):
    scheme: str
    host: str
    fields: Fields


def cache_key(data: bytes) -> None:
    """No part of a key reads like two, and a host has one form."""
    head, _, rest = data.partition(b"\n")
    try:
        target, host = read_target(text(head)), read_authority("edge.test")
    except InvalidInput:
        return
    spec = CacheKey(QueryKey(deny=["a", "utm_*"], sort=True), headers=["x-a"], cookies=["sid"], device=True)
    make, fields = key_maker(spec), fields_of(rest)
    key = make(_Keyed("http", host, fields), target)
    assert key.count("\n") == 3
    again = RequestTarget(target.path, key.split("\n", 1)[0].partition("?")[2])
    assert make(_Keyed("http", host, fields), again) == key


def hosts(data: bytes) -> None:
    """However a host is written, routes and keys read it in one way."""
    try:
        host = read_authority(text(data))
    except RefusedRequest:
        return
    once = normal_host(host)
    assert normal_host(once) == once
    for scheme in ("http", "https"):
        authority = url_key(scheme, host, "").removeprefix(f"{scheme}://")
        assert url_key(scheme, authority, "") == f"{scheme}://{authority}"
        assert normal_host(authority) == once


def forwarding(data: bytes) -> None:
    """What is of a connection stays on it, whoever sends it; and so does what gateways say to each other."""
    fields = fields_of(data)
    named = {part.strip().lower() for name, value in fields if name == "connection" for part in value.split(",")}
    try:
        sent = for_origin(
            "GET", fields, host="o", asked="a", scheme="http", version="1.1", client="192.0.2.1", request_id="r"
        )
    except BadGateway:
        return
    answered = for_client(fields, "1.1")
    for passed in (sent, answered):
        names = [name for name, _ in passed]
        assert not OF_THE_CONNECTION & set(names)
        assert RELAY not in names
    assert [value for name, value in sent if name == "host"] == ["o"]
    assert sum(name == "x-request-id" for name, _ in sent) == 1
    assert not (named - NEVER_OF_A_CONNECTION) & {name for name, _ in answered}


def upgrades(data: bytes) -> None:
    """No connection goes on with another version of what is spoken on it."""
    wanted = wanted_protocol(MemoryExchange(fields=fields_of(data)))
    assert wanted is None or not {each.lower() for each in members(wanted)} & REFUSED


def stored_response(data: bytes) -> None:
    """An answer, judged, validated by itself, and asked for: what is stored says nothing of a connection or of one client."""
    asked_lines, _, lines = data.partition(b"\n\n")
    asked, fields = table(fields_of(asked_lines)), for_client(fields_of(lines), "1.1")
    policy = CachePolicy()
    for status in (200, 206, 404):
        stored = judge("GET", asked, status, fields, NOW_S - 1, NOW_S, policy)
        if not isinstance(stored, Stored):
            continue
        names = {name for name, _ in stored.fields}
        assert not names & {"set-cookie", "age", "content-length", *OF_THE_CONNECTION}
        assert variant_key(stored.vary, asked) is not None
        assert age_s(stored, NOW_S) >= 0
        decide(stored, None, NOW_S)
        may_serve_on_error(stored, NOW_S)
        not_modified(stored, asked, NOW_S)
        freshen(stored, asked, fields, NOW_S, NOW_S, policy)
        selected = select(stored, LENGTH, "GET", asked, NOW_S) if not stored.parts else None
        assert selected is None or 0 <= selected.start <= selected.end <= LENGTH


def invalidation(data: bytes) -> None:
    """What a request may have changed is of the same host as the request; an answer can make nothing else forgotten."""
    targets = invalidated(
        "POST", 201, "http://a.test", "/x", [("location", text(data)), ("content-location", text(data))]
    )
    assert targets[0] == "/x"
    assert all(target.startswith("/") for target in targets)


def preferences(data: bytes) -> None:
    """What a client would rather have, of Accept-Encoding and its like: whoever writes it in another order means the same."""
    value = text(data)
    wanted = qualities(value)
    assert all(0 <= quality <= 1000 for quality in wanted.values())
    names = ("accept-encoding",)
    if '"' not in value and len(wanted) == len(members(value)):
        turned = ", ".join(reversed(members(value)))
        assert variant_key(names, {names[0]: turned}) == variant_key(names, {names[0]: value})


def relay(data: bytes) -> None:
    """What gateways say to each other reads back as it is written."""
    request = decode_request(text(data))
    assert request is None or decode_request(encode_request(request)) == request
    age = decode_age_s(text(data))
    assert age is None or age >= 0


class _NoFiles:
    """Implements `littoral.gateway.static_files.Directory`."""

    def start_of(self, name: str, size: int) -> bytes:
        return b""

    def open(self, parts: tuple[str, ...]) -> OpenFile | None:
        """Nothing leads out of it, and nothing to what is hidden."""
        for part in parts:
            assert part not in ("", ".", "..")
            assert "/" not in part
            assert "\0" not in part
            assert not part.startswith(".") or part == WELL_KNOWN
        return None


def static_path(data: bytes) -> None:
    """A path leads nowhere outside of the directory."""
    try:
        target = read_target(text(data))
    except InvalidInput:
        return
    files = StaticFiles(_NoFiles(), Static(directory="/srv"), "", FakeClock())
    _run(files.serve(MemoryExchange(target=str(target)), target, "r-1"))


def _run(call: Coroutine[Any, Any, int]) -> None:
    """One that waits for nothing."""
    try:
        call.send(None)
    except (StopIteration, NotFound):
        return
    raise AssertionError("it waits")


GATEWAY_TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        cookies,
        tags,
        purges,
        cache_key,
        hosts,
        forwarding,
        upgrades,
        stored_response,
        invalidation,
        preferences,
        relay,
        static_path,
    )
}
