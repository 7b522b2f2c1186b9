"""Which stored variant a request asks for: Vary (RFC 9111, section 4.1).

A variant's key is a text that is the same for all requests whose fields mean the same; so looking one up is one access to a dict.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from littoral.wire.caching.fields import VALUE_CHARACTERS, members, remembered

_SPACE = re.compile(r'("(?:[^"\\]|\\.)*+"?)|[ \t]*(,)[ \t]*|([ \t]+)')
_QUALITY = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def parse_vary(value: str | None) -> tuple[str, ...] | None:
    """The names of a combined Vary in lower case, sorted, each once; None if `*` is among them, or it is too long to be
    looked into: then it matches no request."""
    return () if value is None else _parse_vary(value)


@remembered
def _parse_vary(value: str) -> tuple[str, ...] | None:
    if len(value) > VALUE_CHARACTERS:
        return None
    names = {name.lower() for name in members(value)}
    return None if "*" in names else tuple(sorted(names))


def variant_key(names: Sequence[str], asked: Mapping[str, str]) -> str:
    """Of a request with these fields (`fields.table`), for responses that vary by these fields. One that is absent differs from one that is empty."""
    if not names:
        return ""
    parts = []
    for name in names:
        value = asked.get(name)
        parts.append("" if value is None else f"={_NORMAL.get(name, normal_value)(value)}")
    return "\n".join(parts)


def variant_fields(names: Sequence[str], key: str) -> dict[str, str | None]:
    """The fields of which a `variant_key` was made, in normal form; None for one that was absent."""
    return {name: part[1:] if part else None for name, part in zip(names, key.split("\n"), strict=False)}


@remembered
def normal_value(value: str) -> str:
    """Of any field: without what is between the members of a list, and with one space for several. Within quotes nothing is
    changed."""
    return _SPACE.sub(lambda match: match[1] or match[2] or " ", value.strip(" \t"))


@remembered
def normal_preferences(value: str) -> str:
    """Of Accept-Encoding and Accept-Language, whose members stand in no order and in any case (RFC 9110, section 12.4.2): by
    quality, then by name."""
    return _by_quality(value.lower())


@remembered
def normal_media_ranges(value: str) -> str:
    """Of Accept: parameters may depend on the case of letters."""
    return _by_quality(value)


_NORMAL: dict[str, Callable[[str], str]] = {
    "accept": normal_media_ranges,
    "accept-charset": normal_preferences,
    "accept-encoding": normal_preferences,
    "accept-language": normal_preferences,
}


def qualities(value: str) -> dict[str, int]:
    """The members of Accept-Encoding and its like, as they are written, and how much each is wanted, in thousandths (RFC 9110,
    section 12.4.2). None of what is too long to be looked into."""
    if len(value) > VALUE_CHARACTERS:
        return {}
    return dict(_weighted(member) for member in members(value))


def _by_quality(value: str) -> str:
    if len(value) > VALUE_CHARACTERS:
        return value
    ordered = sorted(qualities(value).items(), key=lambda item: (-item[1], item[0]))
    return ",".join(name if quality == 1000 else f"{name};q={quality}" for name, quality in ordered)


def _weighted(member: str) -> tuple[str, int]:
    """A member without its weight, and its weight in thousandths."""
    name, semicolon, weight = member.rpartition(";")
    match = _QUALITY.fullmatch(weight.strip(" \t")) if semicolon else None
    if match is None:
        return normal_value(member), 1000
    return normal_value(name), round(float(match[1]) * 1000)
