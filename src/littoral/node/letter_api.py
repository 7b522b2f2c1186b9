"""The operator API's part for dead letters.

GET  /v1/dead-letters?after&limit&source&reason               open ones, in order
GET  /v1/dead-letters/groups                                   how many there are of each reason
GET  /v1/dead-letters/OFFSET                                   one whole, open or not
POST /v1/dead-letters/OFFSET/retry, /v1/dead-letters/OFFSET/drop
POST /v1/dead-letters/retry?after&until&source&reason          one step of many; likewise drop

source and reason: only letters that contain these texts there.
"""

from collections.abc import Mapping

from littoral.core.errors import InvalidInput, NotFound
from littoral.core.http import Request, Response
from littoral.core.limits import DEAD_LETTERS_AT_ONCE
from littoral.node.letter_desk import Filter, LetterDesk
from littoral.node.letter_messages import PATH, Outcome
from littoral.wire.answers import json_answer, method_not_allowed
from littoral.wire.query import is_whole_number, whole_number


class LetterApi:
    """Answers for requests whose path begins with PATH, once the operator is known."""

    def __init__(self, desk: LetterDesk) -> None:
        self._desk = desk

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises LittoralError."""
        parts = request.path.removeprefix(PATH).strip("/").split("/")
        match (request.method, *parts):
            case ("GET", ""):
                limit = _number(request.query, "limit") or DEAD_LETTERS_AT_ONCE.default
                return json_answer(self._desk.page(_number(request.query, "after") or 0, limit, _filter(request.query)))
            case ("POST", "retry" | "drop" as act):
                after, until = _number(request.query, "after") or 0, _number(request.query, "until")
                return json_answer(await self._desk.step(act, _filter(request.query), after, until))
            case ("GET", "groups"):
                return json_answer(await self._desk.groups())
            case ("GET", text):
                return json_answer(self._desk.show(_offset(text)))
            case ("POST", text, "retry"):
                return json_answer(Outcome(_offset(text), await self._desk.retry(_offset(text))))
            case ("POST", text, "drop"):
                await self._desk.drop(_offset(text))
                return json_answer(Outcome(_offset(text), "dropped"))
            case (_, _) | (_, _, "retry" | "drop"):
                raise method_not_allowed(request)
        raise NotFound("find", request.path[:120], "the operator API has no such resource")


def _filter(query: Mapping[str, str]) -> Filter:
    return Filter(query.get("source", ""), query.get("reason", ""))


def _number(query: Mapping[str, str], key: str) -> int | None:
    return whole_number(query, key, "call", PATH, None)


def _offset(text: str) -> int:
    if not is_whole_number(text):
        raise InvalidInput(
            "find", f"dead letter {text[:40]!r}", "it is no offset", "`littoral dlq list` names the open ones"
        )
    return int(text)
