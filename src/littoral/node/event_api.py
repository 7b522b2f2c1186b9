"""The operator API's part for what calls apps besides clients.

GET  /v1/crons                       the cron triggers of this node's apps, with their last and next runs
GET  /v1/queues                      the queues of this node
GET  /v1/queues/QUEUE/peek?count=    the oldest messages of one that are not done; nothing becomes of them
POST /v1/queues/QUEUE/purge          remove all messages of one
"""

from msgspec import Struct

from littoral.core.errors import InvalidInput, NotFound
from littoral.core.http import Request, Response
from littoral.node.cron import CronDesk
from littoral.node.queue_desk import PEEKED_MOST, QueueDesk
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.query import whole_number

CRONS = "/v1/crons"
QUEUES = "/v1/queues"
PREFIXES = (CRONS, QUEUES)
"""How the paths of its requests begin."""
PEEK_COUNT = 10


class Purged(Struct, frozen=True):
    """Answer of POST /v1/queues/QUEUE/purge."""

    messages: int


class EventApi:
    """Answers requests whose path begins with one of PREFIXES, once the operator is known."""

    def __init__(self, crons: CronDesk, queues: QueueDesk) -> None:
        self._crons = crons
        self._queues = queues

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises LittoralError."""
        match (request.method, request.path):
            case ("GET", "/v1/crons"):
                return json_answer(self._crons.statuses())
            case ("GET", "/v1/queues"):
                return json_answer(self._queues.statuses())
            case (_, "/v1/crons" | "/v1/queues"):
                raise method_not_allowed(request)
        name, _, act = request.path.removeprefix(f"{QUEUES}/").partition("/")
        match (request.method, act):
            case ("GET", "peek"):
                return json_answer(await self._queues.peek(name, self._count(request)))
            case ("POST", "purge"):
                return json_answer(Purged(await self._queues.purge(name)))
            case (_, "peek" | "purge"):
                raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the operator API has no such resource")

    @staticmethod
    def _count(request: Request) -> int:
        count = whole_number(request.query, "count", "look into queue", request.path[:120], PEEK_COUNT)
        if not 1 <= count <= PEEKED_MOST:
            raise InvalidInput("call", request.path[:120], f"count is {count}", f"Ask for 1 to {PEEKED_MOST}")
        return count
