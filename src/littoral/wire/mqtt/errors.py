"""What a peer can do wrong."""

from littoral.wire.mqtt.reasons import ReasonCode


class RemoteProtocolError(Exception):
    """The peer broke a rule of MQTT; the connection cannot go on [MQTT-4.8.0-1 of 3.1.1, MQTT-4.13.1-1 of 5].

    rule: the conformance statement of the peer's version ("MQTT-3.1.0-2"), or the section where the rule has no number.
    reason: what a peer of MQTT 5 is told in CONNACK or DISCONNECT.
    """

    def __init__(self, rule: str, message: str, reason: ReasonCode = ReasonCode.MALFORMED_PACKET) -> None:
        self.rule = rule
        self.message = message
        self.reason = reason
        super().__init__(rule, message, reason)

    def __str__(self) -> str:
        return f"{self.message} [{self.rule}]"


class UnsupportedLevel(RemoteProtocolError):
    """A CONNECT of another version of MQTT; `level` tells in which format the refusal is understood."""

    def __init__(self, level: int) -> None:
        self.level = level
        super().__init__(
            "MQTT-3.1.2-2",
            f"protocol level {level} is not supported; use MQTT 3.1.1 (level 4) or MQTT 5 (level 5)",
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
        )
