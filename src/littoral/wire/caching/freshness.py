"""How old a response is, and for how long it is fresh (RFC 9111, section 4.2)."""

import re
from collections.abc import Mapping

from msgspec import Struct

from littoral.core.remembered import Remembered
from littoral.wire.caching.directives import LONGEST_S, SILENT, Directives, parse_directives
from littoral.wire.caching.fields import REMEMBERED_VALUES, Fields, table
from littoral.wire.caching.http_date import parse_date
from littoral.wire.caching.policy import CachePolicy
from littoral.wire.caching.targeted import targeted_directives
from littoral.wire.http_fields import may_be_remembered

_DIGITS = re.compile(r"[0-9]+")


class Received(Struct, frozen=True):
    """A response as it came, and what it says of its caching."""

    status: int
    fields: Fields
    by_name: Mapping[str, str]
    """The same, lines of one name combined."""
    directives: Directives
    """Of the first targeted field that is valid, otherwise of Cache-Control."""
    targeted: bool
    """Whether they are of a targeted field: then Cache-Control and Expires say nothing."""
    request_s: float
    response_s: float

    @property
    def is_explicit(self) -> bool:
        """Whether it says how long it is fresh."""
        if self.directives.s_maxage is not None or self.directives.max_age is not None:
            return True
        return "expires" in self.by_name and not self.targeted

    def date(self, name: str) -> float | None:
        """In a field of that name; None where there is none."""
        value = self.by_name.get(name)
        return parse_date(value, self.response_s) if value is not None else None


def read_response(status: int, fields: Fields, request_s: float, response_s: float, policy: CachePolicy) -> Received:
    """request_s, response_s: when the request was sent and when the response's head came."""
    by_name, directives, targeted = _said[tuple(fields), policy.targeted_fields]
    return Received(status, fields, by_name, directives, targeted, request_s, response_s)


def _read(said: tuple[tuple[tuple[str, str], ...], tuple[str, ...]]) -> tuple[Mapping[str, str], Directives, bool]:
    """What a response's fields say, whenever it comes; see Received."""
    by_name = table(said[0])
    directives = targeted_directives(by_name, said[1])
    if directives is not None:
        return by_name, directives, True
    value = by_name.get("cache-control")
    return by_name, parse_directives(value) if value is not None else SILENT, False


_said = Remembered(_read, REMEMBERED_VALUES, lambda said: may_be_remembered(said[0]))


def lifetime_s(asked: Mapping[str, str], response: Received, policy: CachePolicy) -> float:
    """How long it is fresh from its birth on (section 4.2.1). asked: the fields of the request."""
    return min(max(_lifetime_s(asked, response, policy), policy.minimum_ttl_s), policy.maximum_ttl_s)


def _lifetime_s(asked: Mapping[str, str], response: Received, policy: CachePolicy) -> float:
    said = response.directives
    made_s = response.date("date")
    made_s = made_s if made_s is not None else response.response_s
    if policy.override_ttl_s is not None:
        return policy.override_ttl_s
    if said.s_maxage is not None:
        return said.s_maxage
    if said.max_age is not None:
        return said.max_age
    if response.is_explicit:
        expires_s = response.date("expires")
        return max(0.0, expires_s - made_s) if expires_s is not None else 0.0
    if response.status in policy.ttl_by_status_s:
        return policy.ttl_by_status_s[response.status]
    modified_s = response.date("last-modified")
    if modified_s is None or policy.heuristic_fraction <= 0 or ("cookie" in asked and not said.public):
        # A heuristic is a guess: not one to make of what may have been made for whoever sent the cookie.
        return policy.default_ttl_s
    return min(policy.heuristic_most_s, max(0.0, made_s - modified_s) * policy.heuristic_fraction)


def initial_age_s(response: Received) -> float:
    """Its age when it came (section 4.2.3). Dates have whole seconds, so a part of one is no age."""
    date_s = response.date("date")
    apparent_s = float(int(max(0.0, response.response_s - date_s))) if date_s is not None else 0.0
    delay_s = max(0.0, response.response_s - response.request_s)
    return max(apparent_s, age_value(response.by_name.get("age")) + delay_s)


def made_s(fields: Fields, request_s: float) -> float:
    """When a response was made that was asked for then: not before that. Seconds since the epoch."""
    for name, value in fields:
        if name == "age":
            return request_s - age_value(value)
    return request_s


def age_value(value: str | None) -> float:
    """Of `Age`: the first of several, and nothing where it is no number of seconds (section 5.1)."""
    first = value.split(",", 1)[0].strip(" \t") if value is not None else ""
    if not _DIGITS.fullmatch(first):
        return 0.0
    digits = first.lstrip("0")
    return float(LONGEST_S if len(digits) > 10 else min(int(digits or "0"), LONGEST_S))
