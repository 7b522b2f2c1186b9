"""Conditional requests (RFC 9110, section 13; RFC 9111, section 4.3): those of clients, answered from what is stored, and
those that ask the origin whether it still holds.

If-Match and If-Unmodified-Since are the origin's to judge: they are passed on, and a hit does not look at them (RFC 9110, section
13.1.1).
"""

from collections.abc import Collection, Mapping

from msgspec import Struct
from msgspec.structs import replace

from littoral.wire.caching.fields import (
    OF_THE_CONNECTION,
    Fields,
    combined,
    connection_names,
    members,
    remembered,
    without,
)
from littoral.wire.caching.http_date import format_date, parse_date
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.storing import NEVER, NotStored, Stored, judge_again

ANY = ("*",)

_CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
_RANGED = frozenset({"range", "if-range"})
_NOT_IN_304 = frozenset({"content-type", "content-encoding", "content-language", "content-md5"})
"""Metadata that the client has already (RFC 9110, section 15.4.5)."""


class Freshened(Struct, frozen=True):
    """What came of an answer to a validating request."""

    fields: Fields
    """For whoever asked: what is stored, updated, with the cookies that the origin sets now."""
    stored: Stored | NotStored
    """What to store from now on; or why it is to be forgotten, once it has been served to whoever asked."""


@remembered
def parse_etags(value: str) -> tuple[str, ...]:
    """Of If-None-Match and If-Match: the entity tags as they are written. What is none is kept as well: it matches what is the
    same, character by character."""
    return members(value)


def weak_match(one: str, other: str) -> bool:
    """RFC 9110, section 8.8.3.2: whether they stand for the same content, more or less."""
    return bool(one) and one.removeprefix("W/") == other.removeprefix("W/")


def strong_match(one: str, other: str) -> bool:
    """RFC 9110, section 8.8.3.2: whether they stand for the same bytes."""
    return one == other and is_strong(one)


def is_strong(etag: str) -> bool:
    """Whether it changes with every byte. What is no entity tag does not."""
    return len(etag) >= 2 and etag[0] == etag[-1] == '"' and etag.count('"') == 2


def not_modified(stored: Stored, asked: Mapping[str, str], now_s: float) -> bool:
    """Whether a GET or HEAD with these fields (`fields.table`) that asks for what is stored is answered 304 (RFC 9111, section
    4.3.2)."""
    if not 200 <= stored.status < 300:
        return False
    tags = asked.get("if-none-match")
    if tags is not None:
        wanted = parse_etags(tags)
        return wanted == ANY or any(weak_match(tag, stored.etag) for tag in wanted)
    since = asked.get("if-modified-since")
    if since is None:
        return False
    if stored.modified and since == stored.modified:
        return True
    since_s = parse_date(since, now_s)
    # Without Last-Modified, what the origin's clock said when it made it.
    made_s = stored.modified_s if stored.modified_s is not None else stored.date_s
    return since_s is not None and made_s <= since_s


def not_modified_fields(stored: Stored) -> list[tuple[str, str]]:
    """Of the 304 that says so."""
    return without(stored.fields, _NOT_IN_304 | {"last-modified"} if stored.etag else _NOT_IN_304)


def validating_fields(request_fields: Fields, stored: Stored, others: Collection[Stored] = ()) -> list[tuple[str, str]]:
    """Of the request that asks whether what is stored still holds (RFC 9111, section 4.3.1), from those of the client's. others:
    further variants, of which the origin may choose one by its entity tag. The client's own conditions are left out, and answered
    afterwards; so is its range where all is stored: the answer is to replace it."""
    fields = without(request_fields, _CONDITIONS | _RANGED if stored.whole else _CONDITIONS)
    tags = dict.fromkeys(candidate.etag for candidate in (stored, *others) if candidate.etag)
    if tags:
        fields.append(("if-none-match", ", ".join(tags)))
    # Where others may be chosen, the date of one is no condition.
    if stored.modified and not others:
        fields.append(("if-modified-since", stored.modified))
    return fields


def unconditional_fields(request_fields: Fields) -> list[tuple[str, str]]:
    """A client's fields without its conditions and its range: for a fetch of all that there is, for others, too."""
    return without(request_fields, _CONDITIONS | _RANGED)


def confirms(stored: Stored, fields: Fields) -> bool:
    """Whether a 304 with these fields is about what is stored (RFC 9111, section 4.3.4). It is not if nothing stored could be
    asked about: then it answers a condition of the client's own. One that names nothing is about the only thing that was asked."""
    if not (stored.etag or stored.modified):
        return False
    etag = combined(fields, "etag")
    if etag is not None:
        return strong_match(etag, stored.etag) if is_strong(etag) else weak_match(etag, stored.etag)
    modified = combined(fields, "last-modified")
    return modified is None or modified == stored.modified


def freshen(
    stored: Stored, asked: Mapping[str, str], fields: Fields, request_s: float, response_s: float, policy: CachePolicy
) -> Freshened | None:
    """After a 304 with these fields (RFC 9111, section 4.3.4). None where it is about something else: then the request is to be
    sent again without conditions."""
    if not confirms(stored, fields):
        return None
    return _freshened(stored, asked, fields, request_s, response_s, policy)


def freshen_by_head(
    stored: Stored,
    length: int | None,
    asked: Mapping[str, str],
    fields: Fields,
    request_s: float,
    response_s: float,
    policy: CachePolicy,
) -> Freshened:
    """After a response 200 to HEAD with these fields (RFC 9111, section 4.3.5); a 304 to it is `freshen`'s. length: of what is
    stored, where it is known. If the origin has something else now, what is stored is stale from now on."""
    announced = combined(fields, "content-length")
    same_length = length is None or announced is None or announced == str(length)
    if same_length and _same(combined(fields, "etag"), stored.etag):
        modified = combined(fields, "last-modified")
        if _same(modified, stored.modified):
            return _freshened(stored, asked, fields, request_s, response_s, policy)
    return Freshened(fields=fields, stored=expired(stored))


def expired(stored: Stored) -> Stored:
    """The same, but never to be used again without the origin's word: also what a soft purge does, which lets it stand in for
    an origin that fails."""
    return replace(stored, fresh_until_s=NEVER, revalidate_until_s=NEVER)


def _same(received: str | None, known: str) -> bool:
    return received is None or received == known


def _freshened(
    stored: Stored, asked: Mapping[str, str], fields: Fields, request_s: float, response_s: float, policy: CachePolicy
) -> Freshened:
    updated = update(stored, fields, response_s)
    cookies = [field for field in fields if field[0] == "set-cookie"]
    if policy.store_set_cookie and cookies:
        updated = [*without(updated, {"set-cookie"}), *cookies]
        cookies = []
    again = judge_again(stored, asked, updated, request_s, response_s, policy)
    sent = without(updated, OF_THE_CONNECTION | {"age"})
    return Freshened(fields=[*sent, *cookies], stored=again)


def update(stored: Stored, fields: Fields, response_s: float) -> list[tuple[str, str]]:
    """RFC 9111, section 3.2: what is stored, with these fields for those of the same name. They say when that was, or
    `response_s` does."""
    excepted = connection_names(combined(fields, "connection")) | {"content-length", "set-cookie"}
    if stored.parts:
        excepted |= {"content-range"}
    newer = [field for field in fields if field[0] not in excepted]
    names = {name for name, _ in newer} | {"date"}
    updated = [field for field in stored.fields if field[0] not in names] + newer
    if all(name != "date" for name, _ in newer):
        updated.append(("date", format_date(response_s)))
    return updated
