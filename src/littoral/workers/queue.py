"""`env.<BINDING>` for a queue: the interface of Workers' Queues, for who sends."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from littoral.workers.binding import BindingCaller, BindingError

CONTENT_TYPES = ("json", "text", "bytes")
BATCH_MESSAGES = 100
"""Of one `sendBatch`, as in Workers."""


class QueueError(BindingError):
    """A message could not be sent; the message of this says why and what to do."""


class Queue:
    """A queue of this node. What was sent is on this node's disk when `send` returns."""

    __slots__ = ("_call", "_delay_s", "_name")

    def __init__(self, name: str, call: BindingCaller, delay_s: int = 0) -> None:
        """delay_s: of messages that say nothing else."""
        self._name = name
        self._call = call
        self._delay_s = delay_s

    async def send(self, body: Any, options: Mapping[str, Any] | None = None, **named: Any) -> None:
        """Send a message. Options, in a mapping or by name: contentType ("json", else "text" or "bytes"), delaySeconds,
        and idempotencyKey: a message with the key of one that was sent before is that one, and is not sent again.

        Raises QueueError.
        """
        await self._send([_message(body, {**(options or {}), **named}, self._delay_s)])

    async def sendBatch(self, messages: Iterable[Any], options: Mapping[str, Any] | None = None, **named: Any) -> None:
        """Send several, all of them or none. Each is a mapping with `body` and the options of `send`; the options here are
        for those that do not say their own. Raises QueueError."""
        common = {**(options or {}), **named}
        given = [_message(_part(each, "body"), {**common, **_options(each)}, self._delay_s) for each in messages]
        if not 1 <= len(given) <= BATCH_MESSAGES:
            raise QueueError(f"sendBatch takes 1 to {BATCH_MESSAGES} messages; not {len(given)}")
        await self._send(given)

    send_batch = sendBatch

    async def _send(self, messages: list[list[Any]]) -> None:
        await self._call("send", self._name, [messages])


def write_body(content_type: str, body: Any) -> bytes:
    """A message's body as it travels. Raises QueueError for one that is not of its type."""
    if content_type == "json":
        try:
            return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise QueueError(f"a body of content type json must be what JSON holds: {error}") from None
    if content_type == "text" and isinstance(body, str):
        return body.encode()
    if content_type == "bytes" and isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    if content_type not in CONTENT_TYPES:
        raise QueueError(f"queues know the content types {', '.join(CONTENT_TYPES)}; not {content_type!r}")
    raise QueueError(f"a body of content type {content_type} cannot be {type(body).__name__}")


def read_body(content_type: str, body: bytes) -> Any:
    """A message's body as its consumer gets it: objects are dicts whose members are attributes as well."""
    if content_type == "json":
        # Loaded by workers that consume a queue.
        from littoral.workers.js.values import to_javascript  # noqa: PLC0415

        return to_javascript(json.loads(body))
    return body.decode() if content_type == "text" else body


def _message(body: Any, options: Mapping[str, Any], delay_s: int) -> list[Any]:
    content_type = _option(options, "contentType", "content_type") or "json"
    delay = _option(options, "delaySeconds", "delay_seconds")
    delay = delay_s if delay is None else delay
    if not isinstance(delay, int) or isinstance(delay, bool) or delay < 0:
        raise QueueError(f"delaySeconds is a whole number of seconds; not {delay!r}")
    key = _option(options, "idempotencyKey", "idempotency_key")
    return [content_type, write_body(content_type, body), delay, "" if key is None else str(key)]


def _part(message: Any, name: str) -> Any:
    if isinstance(message, Mapping):
        if name not in message:
            raise QueueError(f'each message of sendBatch is a mapping with "{name}"')
        return message[name]
    if not hasattr(message, name):
        raise QueueError(f'each message of sendBatch is a mapping with "{name}"; not {type(message).__name__}')
    return getattr(message, name)


def _options(message: Any) -> dict[str, Any]:
    known = (
        "contentType", "content_type", "delaySeconds", "delay_seconds", "idempotencyKey", "idempotency_key",
    )  # fmt: skip
    if isinstance(message, Mapping):
        return {name: message[name] for name in known if name in message}
    return {name: getattr(message, name) for name in known if hasattr(message, name)}


def _option(options: Mapping[str, Any], name: str, snake: str) -> Any:
    found = options.get(name)
    return options.get(snake) if found is None else found
