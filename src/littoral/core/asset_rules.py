"""What an app's files say of how they are given: `_redirects` and `_headers` beside them."""

from collections.abc import Callable
from typing import NamedTuple

from littoral.core.asset_headers import FILE as HEADERS
from littoral.core.asset_headers import HeaderRules
from littoral.core.asset_redirects import FILE as REDIRECTS
from littoral.core.asset_redirects import Redirects

FILE_BYTES = 2 << 20
"""Of each of the two: as long as its most lines are."""


class AssetRules(NamedTuple):
    """Both."""

    redirects: Redirects
    headers: HeaderRules


def asset_rules(read: Callable[[str], bytes]) -> AssetRules:
    """read: gives a file by its name, of at most FILE_BYTES; empty where there is none."""
    redirects, headers = (read(name).decode(errors="replace") for name in (REDIRECTS, HEADERS))
    return AssetRules(Redirects(redirects), HeaderRules(headers))
