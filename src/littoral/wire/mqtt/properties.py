"""The properties of MQTT 5 as values (section 2.2.2)."""

from msgspec import Struct


class Properties(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a packet of MQTT 5 says besides its fixed fields; which ones it may have depends on its type (table 2-4).

    None, or an empty tuple, is a property that is absent. Packets of MQTT 3.1.1 have `NO_PROPERTIES`.
    """

    payload_format: int | None = None
    """1: the payload is UTF-8 text. 0: bytes."""
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_ids: tuple[int, ...] = ()
    """SUBSCRIBE has at most one; a PUBLISH of a server has one for each subscription with one that matched."""
    session_expiry_s: int | None = None
    """`NEVER_S`: the session does not expire."""
    assigned_client_id: str | None = None
    server_keep_alive_s: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: bool | None = None
    will_delay_s: int | None = None
    request_response_information: bool | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: bool | None = None
    user: tuple[tuple[str, str], ...] = ()
    """User properties: pairs of name and value, in order; a name may come more than once."""
    maximum_packet_bytes: int | None = None
    wildcard_subscriptions_available: bool | None = None
    subscription_ids_available: bool | None = None
    shared_subscriptions_available: bool | None = None


NO_PROPERTIES = Properties()
"""The same object wherever there are none, so that the usual packet allocates nothing for them."""

NEVER_S = 0xFFFF_FFFF
"""A session expiry interval that does not end (section 3.1.2.11.2)."""
