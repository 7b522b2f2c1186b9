"""Cache keys: what of a request tells one stored object from another (RFC 9111, section 2; and what a route adds)."""

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from littoral.core.resources.web import CacheKey, QueryKey
from littoral.gateway.cookies import cookies_of
from littoral.gateway.field_block import Fields
from littoral.gateway.routes import authority
from littoral.gateway.target import RequestTarget

SEPARATOR = "\n"
"""Between the parts of a key. It is in no host, target or field value, so that no part reads like two."""
MOBILE, TABLET, DESKTOP = "mobile", "tablet", "desktop"

_TABLET = re.compile(r"iPad|Tablet|Silk|PlayBook|Kindle|Android(?!.*Mobile)", re.IGNORECASE)
_MOBILE = re.compile(r"Mobi|iPhone|iPod|Windows Phone|BlackBerry|Opera Mini", re.IGNORECASE)


class Keyed(Protocol):
    """As much of an exchange as a key is made of."""

    @property
    def scheme(self) -> str:
        """See Exchange."""
        ...

    @property
    def host(self) -> str:
        """See Exchange."""
        ...

    @property
    def fields(self) -> Fields:
        """See Exchange."""
        ...


MakeKey = Callable[[Keyed, RequestTarget], str]


def url_key(scheme: str, host: str, target: str) -> str:
    """The key of a URL where a route adds nothing; what keys of the same URL begin with."""
    return f"{scheme}://{authority(scheme, host)}{target}"


def of_app(app: str) -> str:
    """What keys of an app's answers have after their URL, and others nowhere."""
    return f"{SEPARATOR}app {app}"


def is_of_app(key: str, app: str) -> bool:
    """Whether it is the key of an answer of the app's."""
    return of_app(app) + SEPARATOR in key + SEPARATOR


def path_of(key: str) -> str:
    """The path of its URL, and what follows."""
    return key[key.index("/", len("https://")) :]


def key_maker(spec: CacheKey, app: str = "") -> MakeKey:
    """How keys are made for a route. app: whose answers it gives; empty where they are an origin's."""
    plain = spec == CacheKey()
    query = _query_maker(spec.query)
    ours = of_app(app) if app else ""

    def make(exchange: Keyed, target: RequestTarget) -> str:
        kept = target.query if query is None else query(target.query)
        key = f"{exchange.scheme}://{authority(exchange.scheme, exchange.host)}{target.path}"
        if kept:
            key = f"{key}?{kept}"
        if ours:
            key += ours
        return key if plain else key + _more(spec, exchange)

    return make


def _more(spec: CacheKey, exchange: Keyed) -> str:
    """The fields, cookies and kind of device that belong to the key, in the order that the route has them."""
    fields = exchange.fields
    parts = [f"{name.lower()}: {_value(fields, name.lower())}" for name in spec.headers]
    if spec.cookies:
        cookies = cookies_of(fields)
        parts += [f"cookie {name}={cookies.get(name, '')}" for name in spec.cookies]
    if spec.device:
        parts.append(f"device {device_of(_value(fields, 'sec-ch-ua-mobile'), _value(fields, 'user-agent'))}")
    return "".join(SEPARATOR + part for part in parts)


def _value(fields: Sequence[tuple[str, str]], wanted: str) -> str:
    return ", ".join(value for name, value in fields if name == wanted)


def device_of(hint: str, agent: str) -> str:
    """What a device is, by its hint (Sec-CH-UA-Mobile) where there is one, else by its user agent."""
    if hint == "?1":
        return MOBILE
    if _TABLET.search(agent):
        return TABLET
    return MOBILE if hint != "?0" and _MOBILE.search(agent) else DESKTOP


def _query_maker(spec: QueryKey) -> Callable[[str], str] | None:
    """What a route keeps of queries; None where that is all of them, as they are."""
    if spec == QueryKey():
        return None
    allow = None if spec.allow is None else _matcher(spec.allow)
    deny = _matcher(spec.deny)

    def make(query: str) -> str:
        parameters = [
            each
            for each in query.split("&")
            if each and not deny(name := each.partition("=")[0]) and (allow is None or allow(name))
        ]
        return "&".join(sorted(parameters) if spec.sort else parameters)

    return make


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    exact = frozenset(each for each in patterns if not each.endswith("*"))
    prefixes = tuple(each[:-1] for each in patterns if each.endswith("*"))
    return lambda name: name in exact or name.startswith(prefixes)
