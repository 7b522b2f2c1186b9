"""What a node's document says of an app that is asked who may connect to the MQTT broker."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from littoral.core.resources.check import Mistake, duration, repeated
from littoral.core.resources.part import Duration, Name, Part
from littoral.core.resources.problem import Path

METHODS_MOST = 16
Method = Annotated[str, Meta(min_length=1, max_length=64)]


class MqttAuthenticator(Part, frozen=True):
    """A function that says who may connect: `authenticate` of an app that is placed at the node."""

    app: Name
    entrypoint: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """A class of its main module. None: the one that answers requests."""
    asked: Literal["unknown", "everybody"] = "unknown"
    """Of whom it is asked: of clients whose user is in no list of logins, and who show no token or certificate that is looked at; or also
    of those who were let in by that. It is never asked of who was refused."""
    ttl: Duration = "0s"
    """For how long its answer is good for the same client with the same password at the same address. 0s: it is asked each time."""
    methods: Annotated[list[Method], Meta(max_length=METHODS_MOST)] = []  # noqa: RUF012 - msgspec copies it
    """MQTT 5: methods of enhanced authentication (section 4.12) that its `authenticate_step` speaks."""


def check_authenticator(path: Path, authenticator: MqttAuthenticator | None) -> Iterator[Mistake]:
    """Of `spec.mqtt.authenticator`."""
    if authenticator is not None:
        yield from duration((*path, "ttl"), authenticator.ttl, least_ms=0)
        yield from repeated((*path, "methods"), authenticator.methods, "method")
