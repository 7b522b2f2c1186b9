"""Targeted cache control (RFC 9213): CDN-Cache-Control and its like, which go before Cache-Control and Expires.

They are dictionaries of structured fields (RFC 9651): one that is empty, or none, is ignored as a whole. In one thing this is
more lenient: names of directives in capitals are read, as in Cache-Control (RFC 9111, section 5.2); so `Private` keeps private.
"""

from collections.abc import Iterator, Mapping

import http_sf
from http_sf.types import DictionaryType

from littoral.wire.caching.directives import Directives, build_directives
from littoral.wire.caching.fields import VALUE_CHARACTERS, remembered


def targeted_directives(fields: Mapping[str, str], names: tuple[str, ...]) -> Directives | None:
    """What the first of the named fields says that is valid and not empty; None where none is, and so Cache-Control and
    Expires hold. fields: combined values by name."""
    for name in names:
        value = fields.get(name)
        if value is not None and (found := parse_targeted(value)) is not None:
            return found
    return None


@remembered
def parse_targeted(value: str) -> Directives | None:
    """None for what is empty, or no dictionary."""
    if len(value) > VALUE_CHARACTERS or not value.isascii():
        return None
    try:
        found = http_sf.parse(value.lower().encode(), tltype="dictionary")
    except http_sf.StructuredFieldError:
        return None
    assert isinstance(found, dict)
    return build_directives(_arguments(found)) if found else None


def _arguments(found: DictionaryType) -> Iterator[tuple[str, str | None]]:
    """As Cache-Control has them (RFC 9213, section 2.1). A value of another type than a directive's is like none that is
    understood: an empty one."""
    for name, member in found.items():
        value = member[0] if isinstance(member, tuple) else member
        if isinstance(value, bool):
            # "?0" is nothing that any directive has.
            if value:
                yield name, None
        elif isinstance(value, int):
            yield name, str(value)
        elif isinstance(value, str) and name in {"no-cache", "private"}:
            yield name, value
        else:
            yield name, ""
