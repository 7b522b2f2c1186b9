"""littoral mqtt sub."""

import base64
import contextlib
import sys
import time
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
import typer

from littoral.cli.client import ApiClient
from littoral.cli.output import printable
from littoral.cli.streams import RETRY_S
from littoral.cli.targets import at_node
from littoral.core.errors import LittoralError, NotFound, Unavailable
from littoral.core.limits import LONG_POLL_S
from littoral.node.mqtt_messages import WATCHES, WatchedMessage, Watching, WatchOrder, WatchPage

Format = Literal["text", "json", "hex"]


@at_node
def sub(
    api: ApiClient,
    filters: Annotated[list[str], typer.Argument(metavar="FILTER", help="Topic filters, such as plant/+/state.")],
    qos: Annotated[
        int, typer.Option("--qos", "-q", min=0, max=2, help="The highest QoS that a message is shown with.")
    ] = 2,
    count: Annotated[int | None, typer.Option("--count", "-C", min=1, help="End after so many messages.")] = None,
    form: Annotated[str, typer.Option("--format", help="text, json (one document a line) or hex.")] = "text",
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the topic before each message.")] = False,
    retained_only: Annotated[bool, typer.Option("--retained-only", help="Show what is retained now, and end.")] = False,
    no_retained: Annotated[
        bool, typer.Option("--no-retained", "-R", help="Show only what is published from now on.")
    ] = False,
) -> None:
    """Show the messages of topics as they pass a node's MQTT broker, until Ctrl-C; first those that are retained.

    It goes by way of the operator API: no login of MQTT is needed, spec.mqtt.access does not apply, and the node's log says what was followed. Messages wait for the command within limit mqtt-watch-bytes; of more, the oldest go, and stderr says how many. When the node was away it is followed anew, and what passed meanwhile is not seen.
    """
    if form not in get_args(Format):
        raise typer.BadParameter(f"--format is text, json or hex, not {form!r}")
    if retained_only and no_retained:
        raise typer.BadParameter("--retained-only and --no-retained leave nothing to show")
    wish: Literal["also", "never", "only"] = "only" if retained_only else "never" if no_retained else "also"
    left = count
    with contextlib.closing(_messages(api, WatchOrder(filters, wish))) as messages:
        for message in messages:
            _show(message, min(qos, message.qos), form, verbose=verbose)
            left = None if left is None else left - 1
            if left == 0:
                return


def _messages(api: ApiClient, order: WatchOrder) -> Generator[WatchedMessage]:
    """What passes, for as long as the node is there and beyond; of retained messages only, until there are no more."""
    while True:
        try:
            name = api.post(WATCHES, msgspec.json.encode(order), "application/json", Watching).watch
            try:
                yield from _follow(api, name, only_retained=order.retained == "only")
                return
            finally:
                # Nobody waits for it any more. Where that cannot be told, the node finds out by itself.
                with contextlib.suppress(LittoralError):
                    api.call("DELETE", f"{WATCHES}/{name}")
        except _Lost as lost:
            print(f"{lost.error}. Following anew", file=sys.stderr)
            _await_node(api)
            order = msgspec.structs.replace(order, retained="never" if order.retained == "also" else order.retained)


class _Lost(Exception):
    """The node did not answer, or knows the watch no more."""

    def __init__(self, error: LittoralError) -> None:
        super().__init__(error)
        self.error = error


def _follow(api: ApiClient, name: str, *, only_retained: bool) -> Generator[WatchedMessage]:
    after = dropped = 0
    wait = "0" if only_retained else str(LONG_POLL_S.default)
    while True:
        try:
            page = api.get(f"{WATCHES}/{name}", WatchPage, {"after": str(after), "wait": wait})
        except (Unavailable, NotFound) as error:
            raise _Lost(error) from error
        after = page.next
        if page.dropped > dropped:
            print(f"{page.dropped - dropped:,} messages are missing: more passed than could be shown", file=sys.stderr)
            dropped = page.dropped
        yield from page.messages
        if only_retained and not page.messages and not page.has_retained:
            return


def _await_node(api: ApiClient) -> None:
    """Return when the node answers again."""
    while True:
        try:
            api.call("GET", "/v1/status")
        except Unavailable:
            time.sleep(RETRY_S)
        else:
            return


def _show(message: WatchedMessage, qos: int, form: str, *, verbose: bool) -> None:
    out = sys.stdout.buffer
    if form == "json":
        out.write(msgspec.json.encode(_document(message, qos)) + b"\n")
        out.flush()
        return
    payload = message.payload.hex().encode() if form == "hex" else message.payload
    if sys.stdout.isatty():
        payload = printable(payload.decode("utf-8", "backslashreplace")).encode()
    head = f"{printable(message.topic)} ".encode() if verbose else b""
    out.write(head + payload + b"\n")
    out.flush()


def _document(message: WatchedMessage, qos: int) -> dict[str, Any]:
    """A message as JSON: its payload is text where it is UTF-8, or else in base64."""
    at = datetime.fromtimestamp(message.at_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
    shown: dict[str, Any] = {"topic": message.topic, "at": at, "qos": qos, "retain": message.retain}
    try:
        shown["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        shown["payloadBase64"] = base64.b64encode(message.payload).decode()
    if message.content_type is not None:
        shown["contentType"] = message.content_type
    if message.response_topic is not None:
        shown["responseTopic"] = message.response_topic
    if message.correlation_data is not None:
        shown["correlationDataBase64"] = base64.b64encode(message.correlation_data).decode()
    if message.user:
        shown["userProperties"] = [list(pair) for pair in message.user]
    return shown
