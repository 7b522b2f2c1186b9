"""What a gateway and that of its parent node say to each other beside HTTP, in header fields of their own.

    littoral-relay: ROUTE NEXT LOG    of a request: which route is asked for, and how far the child has followed the parent's purges
    littoral-relay: working           of an interim response: the parent is at it
    littoral-age: MILLISECONDS        of an answer: how old it is. Without it the parent has not answered by that route

Gateways believe them of each other only: what clients and origins say by these names is dropped.
"""

import re
from typing import NamedTuple

RELAY = "littoral-relay"
AGE = "littoral-age"
FIELDS = frozenset({RELAY, AGE})
PROCESSING = 102
WORKING = ((RELAY, "working"),)
"""Status and fields of the interim response by which a parent says that it is at it (RFC 2518, section 10.1). One without these is
the origin's."""

NO_LOG = "-"
"""A field's value does not end in a space."""
_RELAY = re.compile(r"([a-z0-9-]{1,63}) (\d{1,19}) ([!-~]{1,128})")
_AGE = re.compile(r"\d{1,15}")


class PurgesKnown(NamedTuple):
    """Up to where the purges of a node are known."""

    log: str = ""
    """Which history of its stream that is; empty for none."""
    next: int = 0


class RelayRequest(NamedTuple):
    """What a child says of a request."""

    route: str
    purges: PurgesKnown
    """Of the parent's purges: what was asked for before the parent knows these is not to be given."""


def encode_request(request: RelayRequest) -> str:
    """As the value of `RELAY`."""
    return f"{request.route} {request.purges.next} {request.purges.log or NO_LOG}"


def decode_request(value: str) -> RelayRequest | None:
    """None for what is not written so."""
    match = _RELAY.fullmatch(value)
    if match is None:
        return None
    return RelayRequest(match[1], PurgesKnown("" if match[3] == NO_LOG else match[3], int(match[2])))


def decode_age_s(value: str) -> float | None:
    """Of the value of `AGE`; None for what is not written so."""
    return int(value) / 1000 if _AGE.fullmatch(value) else None
