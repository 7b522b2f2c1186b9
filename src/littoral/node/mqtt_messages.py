"""What the operator API says of the clients of the MQTT broker."""

from msgspec import Struct

PATH = "/v1/mqtt"
CLIENTS = f"{PATH}/clients"
KICK = f"{PATH}/kick"
CLIENTS_MOST = 1000
"""Told at a time."""


class MqttClient(Struct, frozen=True):
    """A client that is connected, or whose session is kept."""

    client: str
    connected: bool
    version: str
    """Of the protocol."""
    subscriptions: int
    waiting: int
    """Messages of QoS 1 and 2 that it has not taken over."""
    dropped: int
    """Messages that there was no room for, since the session began or the hub started."""
    expiry_s: int
    """How long its session is kept after its connection; 0 for no longer, 4294967295 for ever."""
    has_will: bool


class MqttClients(Struct, frozen=True):
    """Answer of GET /v1/mqtt/clients."""

    clients: list[MqttClient]
    total: int


class KickOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /v1/mqtt/kick."""

    client: str


class Kicked(Struct, frozen=True):
    """Its answer."""

    client: str
