"""What a gateway tells a function of its client beside HTTP, in header fields of their own.

    littoral-tls: VERSION CIPHER    of the client's connection, as OpenSSL calls them
    littoral-country: XX            where the client is, as the proxy before the gateway says, or a database of the gateway's
    littoral-place: {...}           what else that database says of it: JSON, by the names of Workers' `request.cf`

What clients say by these names is dropped.
"""

import json
import re
from collections.abc import Mapping, Sequence

TLS = "littoral-tls"
COUNTRY = "littoral-country"
PLACE = "littoral-place"
IP_COUNTRY = "cf-ipcountry"
"""What Cloudflare tells apps and origins; an answer that depends on it says so in `vary`."""
FIELDS = frozenset({TLS, COUNTRY, PLACE})
_LOCATED = frozenset({PLACE, IP_COUNTRY})
_COUNTRY = re.compile(r"[A-Za-z][A-Za-z0-9]")
"""Of ISO 3166, or one of those that proxies add: XX, T1."""


def place_fields(place: Mapping[str, str | int]) -> tuple[tuple[str, str], ...]:
    """What is said of a client that is there; nothing where nothing is known."""
    fields = ((PLACE, json.dumps(place, separators=(",", ":"))),) if place else ()
    found = place.get("country")
    return ((IP_COUNTRY, found.upper()), *fields) if isinstance(found, str) and _COUNTRY.fullmatch(found) else fields


def located(fields: Sequence[tuple[str, str]], place: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """A client's fields with what the gateway knows of its place, and not with what it says itself of that."""
    return [*(field for field in fields if field[0] not in _LOCATED), *place]


def told_place(fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of fields that `located` has made: what a function is told beside the country."""
    return [field for field in fields if field[0] == PLACE]


def country(fields: Sequence[tuple[str, str]], header: str) -> list[tuple[str, str]]:
    """What the header says, as a field for a function; nothing, where it says nothing that is a country, or two things."""
    said = [value.strip() for name, value in fields if name == header]
    return [(COUNTRY, said[0].upper())] if len(said) == 1 and _COUNTRY.fullmatch(said[0]) else []
