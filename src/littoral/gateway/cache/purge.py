"""Purges: what of the cache is to be forgotten, or not to be given any more without the origin's word.

    url      all that is stored of a URL: every variant, and every key that the routes make of it
    tag      what the origin gave that tag (`Cache-Tag`, `Surrogate-Key`)
    prefix   all URLs of a host whose paths begin so
    path     all URLs, of whatever host, whose paths begin so
    all      everything

Each of them may be meant for the answers of one app only.

A URL is brought into the form that keys have before it is looked for. Without "http://" or "https://" both are meant.
"""

import re
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

import msgspec

from littoral.core.errors import InvalidInput
from littoral.core.undecodable import UNDECODABLE
from littoral.gateway.cache.key import SEPARATOR, MakeKey, is_of_app, path_of, url_key
from littoral.gateway.field_block import Fields
from littoral.gateway.routes import normal_host
from littoral.gateway.target import RequestTarget, read_target

VALUE_CHARACTERS = 8192
"""Of a URL, a prefix or a tag: longer ones are not taken by the gateway."""
SCHEMES = ("http", "https")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_TAG = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
_BETWEEN_TAGS = re.compile(r"[ \t,]+")


class Purge(msgspec.Struct, frozen=True):
    """One of them, as it travels and is kept."""

    kind: Literal["url", "tag", "prefix", "path", "all"]
    value: str = ""
    soft: bool = False
    """Whether what is stored may stand in for an origin that fails, and be confirmed by it."""
    at_ms: int = 0
    """When it was asked for, by the clock of the node that was asked."""
    node: str = ""
    """Which that was; empty where it is not known."""
    app: str = ""
    """Whose answers are meant; empty for everybody's. Who does not know of this purges more than that."""


EVERYTHING = Purge("all")
encode_purge = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Purge).decode


def decode_purge(record: bytes) -> Purge:
    """What cannot be read, since a newer version wrote it, perhaps, purges everything: that is always safe."""
    try:
        return check_purge(_decode(record))
    except (InvalidInput, *UNDECODABLE):
        return EVERYTHING


def check_purge(purge: Purge) -> Purge:
    """The same. Raises InvalidInput for one that could be meant for nothing."""
    value = purge.value
    if len(value) > VALUE_CHARACTERS:
        raise _invalid(purge, f"it has {len(value)} characters; at most {VALUE_CHARACTERS} are taken")
    if purge.kind == "tag" and not _TAG.fullmatch(value):
        raise _invalid(purge, "a tag has no spaces, no commas, and nothing beyond ASCII", "Purge one tag at a time")
    if purge.kind == "path" and (not value.startswith("/") or "?" in value):
        raise _invalid(purge, "the beginning of a path begins with a slash, and has no query")
    if purge.kind == "path":
        read_target(value)
    if purge.kind in ("url", "prefix"):
        place = read_place(value)
        if purge.kind == "prefix" and "?" in value:
            raise _invalid(purge, "a prefix is a host and how paths begin, without a query", "Purge URLs with queries")
        assert place.schemes, purge
    return purge


def _invalid(purge: Purge, cause: str, remedy: str = "") -> InvalidInput:
    return InvalidInput(f"purge by {purge.kind}", purge.value[:120], cause, remedy)


class Place(NamedTuple):
    """What a URL names."""

    schemes: tuple[str, ...]
    host: str
    target: RequestTarget


def read_place(url: str) -> Place:
    """Raises InvalidInput for what is no URL of a web server's."""
    found = _SCHEME.match(url)
    schemes = (found[1].lower(),) if found is not None else SCHEMES
    rest = url[found.end() :] if found is not None else url.removeprefix("//")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    host, target = rest[:end], rest[end:].partition("#")[0]
    if schemes[0] not in SCHEMES or not _AUTHORITY.fullmatch(host) or not normal_host(host):
        raise InvalidInput(
            "read URL", url[:120], "it is not one of a web server's", "Write it as clients do: http://HOST[:PORT]/PATH"
        )
    return Place(schemes, host, read_target(target if target.startswith("/") else f"/{target}"))


class Aim(NamedTuple):
    """What a purge is meant for at one gateway, whose routes say which keys a URL has."""

    urls: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    tag: str | None = None
    everything: bool = False
    soft: bool = False
    paths: tuple[str, ...] = ()
    app: str = ""

    def hits(self, key: str, tags: Collection[str] | None) -> bool:
        """Whether what is stored, or would be, is meant. tags: None where they are not known yet: then it may be."""
        if self.app and not is_of_app(key, self.app):
            return False
        if self.paths:
            return path_of(key).startswith(self.paths)
        if self.tag is not None:
            return tags is None or self.tag in tags
        return self.everything or key.startswith(self.prefixes) or key.partition(SEPARATOR)[0] in self.urls


class _Bare(NamedTuple):
    """A request of which nothing but the URL is known. Implements `littoral.gateway.cache.key.Keyed`."""

    scheme: str
    host: str
    fields: Fields = ()


def aim_of(purge: Purge, makers: Iterable[MakeKey]) -> Aim:
    """makers: how the routes make keys. A URL is purged by all of them: which route it was stored by may have changed
    since."""
    soft, app = purge.soft, purge.app
    if purge.kind == "path" or (purge.kind == "all" and app):
        # All paths begin with a slash.
        return Aim(paths=(read_target(purge.value.removesuffix("*") or "/").path,), soft=soft, app=app)
    if purge.kind == "all":
        return Aim(everything=True, soft=soft)
    if purge.kind == "tag":
        return Aim(tag=purge.value, soft=soft, app=app)
    schemes, host, target = read_place(purge.value.removesuffix("*") if purge.kind == "prefix" else purge.value)
    if purge.kind == "prefix":
        return Aim(prefixes=tuple(url_key(scheme, host, target.path) for scheme in schemes), soft=soft, app=app)
    asked = [_Bare(scheme, host) for scheme in schemes]
    return Aim(
        frozenset(make(each, target).partition(SEPARATOR)[0] for make in makers for each in asked), soft=soft, app=app
    )


def tags_of(fields: Fields) -> tuple[str, ...]:
    """What an answer is tagged with, each once."""
    tags: dict[str, None] = {}
    for name, value in fields:
        if name in ("cache-tag", "surrogate-key"):
            tags.update(dict.fromkeys(tag for tag in _BETWEEN_TAGS.split(value) if tag))
    return tuple(tags)
