"""What a node lets those above it ask of its operator API: `spec.parent.requests` of its document."""

import msgspec

from littoral.core.errors import Forbidden
from littoral.core.resources.model import Requests
from littoral.core.undecodable import UNDECODABLE
from littoral.fleet.inbox import INBOX, Message
from littoral.node.commands import HARMLESS, CommandOrder
from littoral.wire.inbox import ASKED_PATH, COMMANDS_PATH, addressed

READING = ("GET", "HEAD")
STREAM_PATHS = ("/v1/streams/", "/v1/stream/", "/v1/stream-view/")


def is_repeatable(message: Message) -> bool:
    """Whether making the request once more changes nothing."""
    return message.method in READING or _is_harmless_command(message)


def check_message(requests: Requests, message: Message) -> None:
    """Raise Forbidden unless the document lets this be asked."""
    if requests == "all":
        return
    if requests == "none":
        cause = f"its document lets nobody above it ask anything, and {message.asker} did"
        remedy = f"Set spec.parent.requests to read or all in the document of {message.target}"
    elif not is_repeatable(message):
        cause = f"its document lets nodes above it read only, and {message.asker} asks for a change"
        remedy = f"Do it at the node, or set spec.parent.requests to all in the document of {message.target}"
    elif _tells_what_others_say(message):
        cause = f"what was asked and answered there is not for {message.asker}"
        remedy = f"Set spec.parent.requests to all in the document of {message.target}"
    elif _is_meant_for_itself(message):
        cause = f"it is a request for {message.target} in a request for {message.target}, and what it asks for is not judged"
        remedy = f"Ask for the path in it, or set spec.parent.requests to all in the document of {message.target}"
    else:
        return
    raise Forbidden("ask for", message.subject, cause, remedy)


def _is_meant_for_itself(message: Message) -> bool:
    """What is asked of a node below is judged there; a request of the node itself would be answered with no check."""
    there = addressed(message.path)
    return there is not None and there[0] == message.target


def _is_harmless_command(message: Message) -> bool:
    if (message.method, message.path) != ("POST", COMMANDS_PATH):
        return False
    try:
        return msgspec.json.decode(message.body, type=CommandOrder).command in HARMLESS
    except UNDECODABLE:
        # It is going to be refused for that, and changes nothing.
        return True


def _tells_what_others_say(message: Message) -> bool:
    """Bodies of messages may hold what only their targets are to know."""
    path = message.path
    if path == ASKED_PATH or path.startswith(f"{ASKED_PATH}/"):
        return True
    return path.startswith(STREAM_PATHS) and f"/{INBOX}/" in path
