"""littoral mqtt pub."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.content import content
from littoral.cli.targets import at_node
from littoral.core.errors import InvalidInput
from littoral.node.mqtt_messages import PUBLISH, Published, PublishOrder


@at_node
def pub(
    api: ApiClient,
    topic: Annotated[str, typer.Argument(help="The topic, without wildcards.")],
    payload: Annotated[str | None, typer.Argument(help="The message; - or nothing reads stdin.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Take the message from a file.")] = None,
    qos: Annotated[int, typer.Option("--qos", "-q", min=0, max=2, help="Quality of service.")] = 0,
    user: Annotated[
        list[str] | None, typer.Option("--property", help="NAME=VALUE, a user property; may be given more than once.")
    ] = None,
    content_type: Annotated[str | None, typer.Option(help="What the message is: application/json.")] = None,
    response_topic: Annotated[str | None, typer.Option(help="Where an answer is expected.")] = None,
    expiry: Annotated[
        int | None, typer.Option(min=0, metavar="SECONDS", help="After how long nobody gets it any more.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How often it is published.")] = 1,
    interval: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="Pause after each message.")] = 0.0,
    *,
    lines: Annotated[
        bool, typer.Option("--lines", "-l", help="Each line is a message, as soon as it is read.")
    ] = False,
    retain: Annotated[
        bool, typer.Option("--retain", "-r", help="Keep it for those who subscribe later; an empty one ends that.")
    ] = False,
) -> None:
    """Publish a message at a node's MQTT broker, as a client would: rules and subscribers get it.

    It goes by way of the operator API: no login of MQTT is needed, spec.mqtt.access does not apply, and the node's log says what was published. Returns once the node has taken it; at QoS 1 and 2 it is synced to disk then.
    """
    base = PublishOrder(
        topic,
        qos=qos,
        retain=retain,
        content_type=content_type,
        response_topic=response_topic,
        expiry_s=expiry,
        user=[_pair(each) for each in user or ()],
    )
    first = True
    for each in _payloads(payload, file, count, lines=lines):
        if not first and interval:
            time.sleep(interval)
        first = False
        order = msgspec.structs.replace(base, payload=each)
        api.post(PUBLISH, msgspec.json.encode(order), "application/json", Published)


def _payloads(payload: str | None, file: Path | None, count: int, *, lines: bool) -> Iterator[bytes]:
    """What is to be published, one after the other. Raises BadParameter, InvalidInput."""
    if not lines:
        yield from [content(payload, file)] * count
        return
    if payload not in (None, "-") or count != 1:
        raise typer.BadParameter("--lines reads messages from stdin, or from --file, once")
    if file is None:
        for line in sys.stdin.buffer:
            yield line.rstrip(b"\r\n")
        return
    try:
        with file.open("rb") as opened:
            for line in opened:
                yield line.rstrip(b"\r\n")
    except OSError as error:
        raise InvalidInput("read", str(file), error.strerror or str(error), "Check the name of the file") from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"--property {text!r} is not of the form NAME=VALUE")
    return name, value
