"""What bridges are called among the clients of this node's broker."""

PREFIX = "$bridge/"
"""No other client may have an identifier that begins so (`littoral.iot.bridge_access`)."""

BRIDGE_USER = "$bridge"
"""Where clients are listed with their users."""


def bridge_client(name: str) -> str:
    """The client identifier, here, of the bridge `name`."""
    return PREFIX + name


def is_bridge(client_id: str) -> bool:
    """Whether a client identifier is one of a bridge."""
    return client_id.startswith(PREFIX)
