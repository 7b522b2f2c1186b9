"""The decisions together: requests through a cache, with a dict for its store and a function for its origin."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
from msgspec import Struct

from littoral.wire.caching.directives import RequestDirectives, request_directives
from littoral.wire.caching.fields import Fields, table, without
from littoral.wire.caching.http_date import format_date
from littoral.wire.caching.invalidation import SAFE, invalidated
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.ranges import combine, completing_fields, missing_range, received, select
from littoral.wire.caching.selection import variant_key
from littoral.wire.caching.serving import ERRORS, STALE_WARNING, Decision, age_s, decide, may_serve_on_error
from littoral.wire.caching.storing import NotStored, Stored, judge
from littoral.wire.caching.validation import (
    freshen,
    freshen_by_head,
    not_modified,
    not_modified_fields,
    unconditional_fields,
    validating_fields,
)


class Response(NamedTuple):
    status: int
    fields: Sequence[tuple[str, str]]
    body: bytes = b""


class Entry(Struct):
    stored: Stored
    body: bytes
    """Zeros where a part is missing."""


Origin = Callable[[str, str, Fields, bytes], Response]
"""Method, target, fields, body. ConnectionError: it cannot be reached."""
ORIGIN = "http://example.com"


class ToyCache:
    """A gateway's cache engine, without all that makes one: no streams, no bounds, no collapsing."""

    def __init__(self, origin: Origin, clock: Callable[[], float], policy: CachePolicy | None = None) -> None:
        self.origin = origin
        self.clock = clock
        self.policy = policy or CachePolicy()
        self.objects: dict[str, dict[tuple[str, ...], dict[str, Entry]]] = {}
        self.later: list[Callable[[], object]] = []
        """What is to be done in the background."""

    def ask(self, method: str, target: str, fields: Fields = (), body: bytes = b"") -> Response:
        asked = table(fields)
        if method not in {"GET", "HEAD"}:
            return self._pass_on(method, target, fields, body)
        wishes = self._wishes(asked)
        entry = self._find(target, asked)
        decision = decide(entry.stored if entry else None, wishes, self.clock())
        if decision is Decision.NOT_CACHED:
            return Response(504, [])
        if entry is not None and decision in {Decision.FRESH, Decision.STALE_WHILE_REVALIDATE, Decision.STALE}:
            answer = self._serve(entry, method, asked, stale=decision is not Decision.FRESH)
            if answer is not None:
                if decision is Decision.STALE_WHILE_REVALIDATE:
                    self.later.append(lambda: self._fetch(method, target, fields, entry, validate=True))
                return answer
        return self._fetch(method, target, fields, entry, validate=decision is Decision.VALIDATE)

    def _wishes(self, asked: dict[str, str]) -> RequestDirectives | None:
        value = asked.get("cache-control")
        return request_directives(value, self.policy.honour_request_directives) if value is not None else None

    def _find(self, target: str, asked: dict[str, str]) -> Entry | None:
        variants = self.objects.get(target, {})
        found = [entries[key] for names, entries in variants.items() if (key := variant_key(names, asked)) in entries]
        return max(found, key=lambda entry: entry.stored.date_s, default=None)

    def _keep(self, target: str, asked: dict[str, str], entry: Entry) -> None:
        names = entry.stored.vary
        self.objects.setdefault(target, {}).setdefault(names, {})[variant_key(names, asked)] = entry

    def _serve(self, entry: Entry, method: str, asked: dict[str, str], *, stale: bool) -> Response | None:
        stored, now_s = entry.stored, self.clock()
        extra = [("age", str(age_s(stored, now_s)))] + ([STALE_WARNING] if stale else [])
        if not_modified(stored, asked, now_s):
            return Response(304, [*not_modified_fields(stored), *extra])
        selected = select(stored, len(entry.body), method, asked, now_s)
        if selected is None:
            return None
        if selected.content_range:
            extra.append(("content-range", selected.content_range))
        body = entry.body[selected.start : selected.end] if method == "GET" else b""
        return Response(selected.status, [*stored.fields, *extra], body)

    def _fetch(self, method: str, target: str, fields: Fields, entry: Entry | None, *, validate: bool) -> Response:
        asked, sent = table(fields), fields
        completing = False
        if entry is not None and validate:
            sent = validating_fields(fields, entry.stored)
        elif entry is not None and method == "GET" and "range" not in asked and missing_range(entry.stored):
            sent, completing = completing_fields(fields, entry.stored), True
        request_s = self.clock()
        try:
            response = self.origin(method, target, sent, b"")
        except ConnectionError:
            return self._on_error(entry, method, asked) or Response(502, [])
        response_s = self.clock()
        if response.status in ERRORS and (stale := self._on_error(entry, method, asked)):
            return stale
        if entry is not None and validate and response.status == 304:
            freshened = freshen(entry.stored, asked, response.fields, request_s, response_s, self.policy)
            if freshened is None:
                return self._fetch(method, target, unconditional_fields(fields), None, validate=False)
            return self._freshened(freshened.stored, freshened.fields, target, method, asked, entry)
        if method == "HEAD":
            if entry is not None and response.status == 200:
                freshened = freshen_by_head(
                    entry.stored, len(entry.body), asked, response.fields, request_s, response_s, self.policy
                )
                self._freshened(freshened.stored, freshened.fields, target, method, asked, entry)
                return Response(200, freshened.fields)
            return response
        return self._fetched(target, fields, table(sent), response, request_s, response_s, entry, completing=completing)

    def _fetched(
        self,
        target: str,
        fields: Fields,
        sent: dict[str, str],
        response: Response,
        request_s: float,
        response_s: float,
        entry: Entry | None,
        *,
        completing: bool,
    ) -> Response:
        stored: Stored | NotStored | None
        stored = judge("GET", sent, response.status, response.fields, request_s, response_s, self.policy)
        body, asked = response.body, table(fields)
        if isinstance(stored, Stored) and stored.parts:
            stored = received(stored, len(body))
            if stored is not None:
                start = stored.parts[0][0]
                body = b"\0" * start + body + b"\0" * (stored.total - start - len(body))
                both = combine(entry.stored, stored, response_s) if entry is not None else None
                if both is not None and entry is not None:
                    old = stored.parts[0]
                    body = entry.body[: old[0]] + body[old[0] : old[1]] + entry.body[old[1] :]
                    stored = both
            if completing and (stored is None or not stored.whole):
                return self._fetch("GET", target, without(fields, {"range"}), None, validate=False)
        if isinstance(stored, Stored):
            kept = Entry(stored, body)
            self._keep(target, asked, kept)
            if completing:
                answer = self._serve(kept, "GET", asked, stale=False)
                assert answer is not None
                return answer
        return response

    def _freshened(
        self, stored: Stored | NotStored, fields: Fields, target: str, method: str, asked: dict[str, str], entry: Entry
    ) -> Response:
        if isinstance(stored, NotStored):
            del self.objects[target]
            return Response(200, fields, entry.body)
        entry.stored = stored
        self._keep(target, asked, entry)
        answer = self._serve(entry, method, asked, stale=False)
        assert answer is not None
        return answer

    def _on_error(self, entry: Entry | None, method: str, asked: dict[str, str]) -> Response | None:
        if entry is None or not may_serve_on_error(entry.stored, self.clock()):
            return None
        return self._serve(entry, method, asked, stale=True)

    def _pass_on(self, method: str, target: str, fields: Fields, body: bytes) -> Response:
        request_s = self.clock()
        response = self.origin(method, target, fields, body)
        response_s = self.clock()
        if method not in SAFE:
            for changed in invalidated(method, response.status, ORIGIN, target, response.fields):
                self.objects.pop(changed, None)
        stored = judge(
            method,
            table(fields),
            response.status,
            response.fields,
            request_s,
            response_s,
            self.policy,
            uri=ORIGIN + target,
        )
        if isinstance(stored, Stored):
            self._keep(target, table(fields), Entry(stored, response.body))
        return response


class Site:
    """An origin that answers by a script, and what it was asked."""

    def __init__(self, policy: CachePolicy | None = None) -> None:
        self.now_s = 1_800_000_000.0
        self.answers: list[Response | Exception] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.cache = ToyCache(self.answer, lambda: self.now_s, policy)

    def answer(self, method: str, target: str, fields: Fields, body: bytes) -> Response:
        self.seen.append((method, target, table(fields)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def says(self, body: bytes = b"", *fields: tuple[str, str], status: int = 200, age_s: float = 0) -> None:
        """What it answers next."""
        self.answers.append(Response(status, [("date", format_date(self.now_s - age_s)), *fields], body))

    def get(self, *fields: tuple[str, str], target: str = "/a", method: str = "GET") -> tuple[int, bytes]:
        """Status and body."""
        answer = self.cache.ask(method, target, fields)
        self.last = table(answer.fields)
        return answer.status, answer.body

    def idle(self, *, seconds: float = 0) -> None:
        """Do what is left for the background, and let time pass."""
        while self.cache.later:
            self.cache.later.pop(0)()
        self.now_s += seconds

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return len(self.seen)


def cc(value: str) -> tuple[str, str]:
    return ("cache-control", value)


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_fresh_response_is_used_until_it_is_stale(site: Site):
    site.says(b"1", cc("max-age=10"))
    assert site.get() == (200, b"1")
    site.idle(seconds=9)
    assert site.get() == (200, b"1")
    assert site.last["age"] == "9"
    assert site.asked == 1
    site.idle(seconds=1)
    site.says(b"2", cc("max-age=10"))
    assert site.get() == (200, b"2")
    assert site.asked == 2


def test_urls_are_apart(site: Site):
    site.says(b"1", cc("max-age=10"))
    site.says(b"2", cc("max-age=10"))
    assert site.get(target="/?a") == (200, b"1")
    assert site.get(target="/?b") == (200, b"2")


def test_a_stale_response_is_validated_and_fresh_again(site: Site):
    site.says(b"1", cc("max-age=2"), ("etag", '"x"'), ("test", "a"))
    site.get()
    site.idle(seconds=3)
    site.says(b"", cc("max-age=2"), ("etag", '"x"'), ("test", "b"), status=304)
    assert site.get() == (200, b"1")
    assert site.seen[-1][2] == {"if-none-match": '"x"'}
    assert site.last["test"] == "b"
    site.idle(seconds=1)
    assert site.get() == (200, b"1")
    assert site.asked == 2


def test_a_304_about_something_else_is_asked_again_without_conditions(site: Site):
    site.says(b"1", cc("max-age=2"), ("etag", '"x"'))
    site.get()
    site.idle(seconds=3)
    site.says(b"", ("etag", '"y"'), status=304)
    site.says(b"2", cc("max-age=2"), ("etag", '"y"'))
    assert site.get() == (200, b"2")
    assert site.seen[-1][2] == {}


def test_no_cache_is_validated_every_time(site: Site):
    site.says(b"1", cc("no-cache"), ("etag", '"x"'))
    site.get()
    site.says(b"", cc("no-cache"), ("etag", '"x"'), status=304)
    assert site.get() == (200, b"1")
    site.says(b"2", cc("no-cache"), ("etag", '"y"'))
    assert site.get() == (200, b"2")


def test_clients_conditions_are_answered_from_what_is_stored(site: Site):
    site.says(b"1", cc("max-age=60"), ("etag", '"x"'))
    site.get()
    assert site.get(("if-none-match", '"y", W/"x"')) == (304, b"")
    assert site.last["etag"] == '"x"'
    assert site.get(("if-none-match", '"y"')) == (200, b"1")
    assert site.asked == 1


def test_variants_are_apart(site: Site):
    vary = ("vary", "Accept-Language")
    site.says(b"en", cc("max-age=60"), vary)
    site.says(b"de", cc("max-age=60"), vary)
    assert site.get(("accept-language", "en")) == (200, b"en")
    assert site.get(("accept-language", "de, en;q=0.5")) == (200, b"de")
    assert site.get(("accept-language", "EN")) == (200, b"en")
    assert site.get(("accept-language", "en;q=0.5 , de")) == (200, b"de")
    site.says(b"none", cc("max-age=60"), vary)
    assert site.get() == (200, b"none")
    assert site.asked == 3


def test_stale_while_it_is_revalidated_and_no_longer(site: Site):
    site.says(b"1", cc("max-age=1, stale-while-revalidate=4"), ("etag", '"x"'))
    site.get()
    site.idle(seconds=3)
    assert site.get() == (200, b"1")
    assert site.last["warning"].startswith("110 ")
    site.says(b"2", cc("max-age=1, stale-while-revalidate=4"), ("etag", '"y"'))
    site.idle()
    assert site.get() == (200, b"2")
    site.idle(seconds=6)
    site.says(b"3", cc("no-store"))
    assert site.get() == (200, b"3")


@pytest.mark.parametrize("value", ["max-age=2", "max-age=2, stale-if-error=60"])
def test_stale_instead_of_an_error(site: Site, value: str):
    site.says(b"1", cc(value))
    site.get()
    site.idle(seconds=3)
    site.answers.append(ConnectionError())
    assert site.get() == (200, b"1")
    assert site.last["warning"].startswith("110 ")
    site.says(b"broken", status=503)
    assert site.get() == (200, b"1")
    site.says(b"gone", status=404)
    assert site.get() == (404, b"gone")


@pytest.mark.parametrize("value", ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=2", "stale-if-error=0"])
def test_never_stale_where_that_is_forbidden(site: Site, value: str):
    site.says(b"1", cc(f"max-age=2, {value}"), ("etag", '"x"'))
    site.get()
    site.idle(seconds=3)
    site.answers.append(ConnectionError())
    assert site.get() == (502, b"")
    site.says(b"broken", status=503)
    assert site.get() == (503, b"broken")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "M-SEARCH"])
def test_what_may_have_changed_is_forgotten(site: Site, method: str):
    for target in ("/a", "/b", "/c"):
        site.says(b"1", cc("max-age=60"))
        site.get(target=target)
    site.says(status=500)
    site.get(method=method)
    assert site.get() == (200, b"1")
    site.says(b"", ("location", "/b"), ("content-location", "http://other.example/c"))
    site.get(method=method)
    site.says(b"2", cc("max-age=60"))
    site.says(b"3", cc("max-age=60"))
    assert site.get() == (200, b"2")
    assert site.get(target="/b") == (200, b"3")
    assert site.get(target="/c") == (200, b"1")


def test_a_post_that_says_what_get_would_give_answers_get(site: Site):
    site.says(b"1", cc("max-age=60"), ("content-location", "/a"))
    site.get(method="POST")
    assert site.get() == (200, b"1")
    assert site.asked == 1


def test_parts_are_served_from_the_whole(site: Site):
    site.says(b"0123456789", cc("max-age=60"))
    site.get()
    assert site.get(("range", "bytes=2-4")) == (206, b"234")
    assert site.last["content-range"] == "bytes 2-4/10"
    assert site.get(("range", "bytes=-1")) == (206, b"9")
    assert site.get(("range", "bytes=10-")) == (416, b"")
    assert site.asked == 1


def test_parts_are_stored_and_made_whole(site: Site):
    fields = [cc("max-age=60"), ("etag", '"x"')]
    site.says(b"45678", *fields, ("content-range", "bytes 4-8/10"), status=206)
    assert site.get(("range", "bytes=4-8")) == (206, b"45678")
    assert site.get(("range", "bytes=5-6")) == (206, b"56")
    site.says(b"0123", *fields, ("content-range", "bytes 0-3/10"), status=206)
    assert site.get(("range", "bytes=0-3")) == (206, b"0123")
    assert site.asked == 2
    site.says(b"9", *fields, ("content-range", "bytes 9-9/10"), status=206)
    assert site.get() == (200, b"0123456789")
    assert site.seen[-1][2] == {"range": "bytes=9-", "if-range": '"x"'}
    assert site.get(("range", "bytes=3-5")) == (206, b"345")
    assert site.asked == 3


def test_what_has_changed_meanwhile_comes_whole(site: Site):
    part = ("content-range", "bytes 0-4/10")
    site.says(b"01234", cc("max-age=60"), ("etag", '"x"'), part, status=206)
    site.get(("range", "bytes=0-4"))
    site.says(b"abc", cc("max-age=60"), ("etag", '"y"'))
    assert site.get() == (200, b"abc")
    assert site.get(("range", "bytes=0-1")) == (206, b"ab")


def test_parts_without_a_validator_are_not_put_together(site: Site):
    site.says(b"01234", cc("max-age=60"), ("content-range", "bytes 0-4/10"), status=206)
    site.get(("range", "bytes=0-4"))
    site.says(b"vwxyz", cc("max-age=60"), ("content-range", "bytes 5-9/10"), status=206)
    site.says(b"qrstuvwxyz", cc("max-age=60"))
    assert site.get() == (200, b"qrstuvwxyz")
    assert site.seen[-1][2] == {}


def test_head_is_answered_from_what_is_stored_and_updates_it(site: Site):
    site.says(b"12", cc("max-age=2"), ("kept", "1"))
    site.get()
    assert site.get(method="HEAD") == (200, b"")
    site.idle(seconds=3)
    site.says(b"", cc("max-age=1000"), ("content-length", "2"))
    site.get(method="HEAD")
    assert site.last["kept"] == "1"
    assert site.get() == (200, b"12")
    assert [method for method, _, _ in site.seen] == ["GET", "HEAD"]


def test_the_cache_answers_alone_if_that_is_asked(site: Site):
    assert site.get(cc("only-if-cached")) == (504, b"")
    assert site.asked == 0


def test_clients_cannot_pass_by_the_cache_unless_the_policy_lets_them(site: Site):
    site.says(b"1", cc("max-age=60"))
    site.get()
    assert site.get(cc("no-cache"), ("pragma", "no-cache")) == (200, b"1")
    open_site = Site(CachePolicy(honour_request_directives=True))
    open_site.says(b"1", cc("max-age=60"))
    open_site.says(b"2", cc("max-age=60"))
    open_site.get()
    assert open_site.get(cc("no-cache")) == (200, b"2")


def test_one_clients_response_is_for_no_other(site: Site):
    for fields in ([cc("private, max-age=60")], [cc("max-age=60"), ("set-cookie", "a=b")], [cc("no-store")]):
        site.says(b"1", *fields)
        site.says(b"2", *fields)
        assert site.get() == (200, b"1")
        assert site.get() == (200, b"2")
    site.says(b"1", cc("max-age=60"))
    site.says(b"2", cc("max-age=60"))
    assert site.get(("authorization", "x")) == (200, b"1")
    assert site.get() == (200, b"2")


def test_a_cdn_has_directives_of_its_own(site: Site):
    site.says(b"1", cc("no-store"), ("cdn-cache-control", "max-age=60"))
    site.get()
    assert site.get() == (200, b"1")
    assert site.last["cdn-cache-control"] == "max-age=60"
    assert site.asked == 1
