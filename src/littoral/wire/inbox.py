"""Addresses and headers of the operator API by which nodes below are asked (littoral.node.inbox_api)."""

NODES_PATH = "/v1/nodes/"
ASKED_PATH = "/v1/inbox"
COMMANDS_PATH = "/v1/commands"

DEADLINE_HEADER = "littoral-deadline"
KEY_HEADER = "idempotency-key"
PREFER_HEADER = "prefer"
MESSAGE_HEADER = "littoral-message"
"""Of an answer: the id of the message that it answers."""
NODE_HEADER = "littoral-node"
"""Of an answer: the node that was asked."""
DEADLINE_DEFAULT = "30s"


def addressed(path: str) -> tuple[str, str] | None:
    """The name of the node that a path of the operator API means, and the path there; None for a path that means the
    node that is asked."""
    name, _, rest = path.removeprefix(NODES_PATH).partition("/")
    if not path.startswith(NODES_PATH):
        return None
    if rest == "commands":
        return name, COMMANDS_PATH
    if rest == "api" or rest.startswith("api/"):
        return name, f"/{rest.removeprefix('api').removeprefix('/')}"
    return None
