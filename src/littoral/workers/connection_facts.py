"""`request.cf`: what is known of the connection that a request came by."""

from contextlib import suppress

import msgspec

from littoral.workers import platform
from littoral.workers.headers import Headers
from littoral.workers.js.values import JsObject

_NOT_KNOWN = (
    "asn",
    "asOrganization",
    "city",
    "clientAcceptEncoding",
    "clientTcpRtt",
    "continent",
    "isEUCountry",
    "latitude",
    "longitude",
    "metroCode",
    "postalCode",
    "region",
    "regionCode",
    "requestPriority",
    "timezone",
)
"""What Workers have besides: published code asks whether it is there."""


def facts_of(headers: Headers) -> JsObject:
    """As the gateway has put them into the request's headers."""
    version, _, cipher = (headers.get("littoral-tls") or "").partition(" ")
    spoken = (headers.get("via") or "").rpartition(",")[2].split()
    facts = JsObject.fromkeys(_NOT_KNOWN)
    facts |= _place(headers.get("littoral-place"))
    facts |= {
        "colo": platform.node() or None,
        "country": headers.get("littoral-country"),
        "httpProtocol": f"HTTP/{spoken[0]}" if spoken else None,
        "tlsCipher": cipher or None,
        "tlsVersion": version or None,
        "clientAcceptEncoding": headers.get("accept-encoding"),
    }
    return JsObject(facts)


def _place(told: str | None) -> dict[str, str | int]:
    """What a database of the node's gateways says of the client's address."""
    if told is not None:
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(told, type=dict[str, str | int])
    return {}
