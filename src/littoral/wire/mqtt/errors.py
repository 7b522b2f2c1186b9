"""What a peer can do wrong."""


class RemoteProtocolError(Exception):
    """The peer broke a rule of MQTT 3.1.1; the connection cannot go on [MQTT-4.8.0-1].

    rule: the conformance statement ("MQTT-3.1.0-2"), or the section where the rule has no number.
    """

    def __init__(self, rule: str, message: str) -> None:
        self.rule = rule
        self.message = message
        super().__init__(rule, message)

    def __str__(self) -> str:
        return f"{self.message} [{self.rule}]"


class UnsupportedLevel(RemoteProtocolError):
    """A CONNECT of another version of MQTT; `level` tells in which format the refusal is understood."""

    def __init__(self, level: int) -> None:
        self.level = level
        super().__init__("MQTT-3.1.2-2", f"protocol level {level} is not supported; use MQTT 3.1.1 (level 4)")
