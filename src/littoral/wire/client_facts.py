"""What a gateway tells a function of its client beside HTTP, in header fields of their own.

    littoral-tls: VERSION CIPHER    of the client's connection, as OpenSSL calls them
    littoral-country: XX            where the client is, as the proxy before the gateway says

What clients say by these names is dropped.
"""

import re
from collections.abc import Sequence

TLS = "littoral-tls"
COUNTRY = "littoral-country"
FIELDS = frozenset({TLS, COUNTRY})
_COUNTRY = re.compile(r"[A-Za-z][A-Za-z0-9]")
"""Of ISO 3166, or one of those that proxies add: XX, T1."""


def country(fields: Sequence[tuple[str, str]], header: str) -> list[tuple[str, str]]:
    """What the header says, as a field for a function; nothing, where it says nothing that is a country, or two things."""
    said = [value.strip() for name, value in fields if name == header]
    return [(COUNTRY, said[0].upper())] if len(said) == 1 and _COUNTRY.fullmatch(said[0]) else []
