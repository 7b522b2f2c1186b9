"""Why another broker does not let a bridge in, or ends its connection, in words for an operator."""

from littoral.core.errors import LittoralError, Unavailable
from littoral.iot.bridge_terms import BridgeTerms
from littoral.wire.mqtt import ReasonCode

_CREDENTIALS = "Check `username` and `passwordFile`, and whom the other broker lets in"
_REMEDIES = {
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: _CREDENTIALS,
    ReasonCode.NOT_AUTHORIZED: _CREDENTIALS,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: "Set `clientId` to one that the other broker takes",
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: "Set `version` to one that the other broker speaks",
    ReasonCode.SESSION_TAKEN_OVER: "Another client has the same identifier there; set `clientId` to one that is the bridge's alone",
    ReasonCode.PACKET_TOO_LARGE: "The other broker takes only smaller messages; its limit may be raised",
}


def refusal(terms: BridgeTerms, reason: ReasonCode, said: str | None) -> LittoralError:
    """Of CONNACK, or DISCONNECT. said: the other broker's own words."""
    cause = f"the other broker says {reason.name.replace('_', ' ').lower()}"
    if said:
        cause += f" ({said[:200]!r})"
    return Unavailable("keep bridge", terms.subject, cause, _REMEDIES.get(reason, "Its log may say more"))


def why_ended(terms: BridgeTerms, was_connecting: bool, why: str) -> LittoralError:
    """The connection is gone. was_connecting: before the other broker had answered CONNECT."""
    if was_connecting:
        remedy = "Its log may say why; check `tls` and `version`"
        return Unavailable("keep bridge", terms.subject, f"it closed the connection without an answer{why}", remedy)
    return Unavailable(
        "keep bridge", terms.subject, f"the connection was lost{why}", "Check whether the other broker runs"
    )
