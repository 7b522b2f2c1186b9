"""The dead letters of all nodes: of this one, and of those below by way of their inboxes.

What is done about a letter is known at its node alone, so each node is asked itself. Of one that does not answer there is
the copy of its stream here: all that it put aside, whatever was done about it since, and nothing can be done with it.
"""

import msgspec

from littoral.core.names import StreamName
from littoral.core.undecodable import UNDECODABLE
from littoral.dashboard.hub_api import HubApi
from littoral.node.letter_groups import LetterGroups
from littoral.node.letter_messages import PATH, Act, LetterEntry, LetterPage, LetterShown, Outcome, Step
from littoral.store.dead_letters import DEAD_LETTERS, DeadLetter

_letter = msgspec.json.Decoder(DeadLetter)


class LettersApi:
    """Raises everywhere: PeerUnreachable, Unavailable, and what the hub or the node answers."""

    def __init__(self, hub: HubApi, here: str) -> None:
        """here: the node whose hub is asked."""
        self._hub = hub
        self.here = here

    async def page(self, node: str, after: int, limit: int, wanted: dict[str, str]) -> LetterPage:
        """Open letters from offset `after` on. wanted: texts in their source and reason."""
        query = {"after": str(after), "limit": str(limit), **wanted}
        return await self._hub.ask(LetterPage, "GET", PATH, query, self._at(node))

    async def groups(self, node: str) -> LetterGroups:
        """What the open letters have in common."""
        return await self._hub.ask(LetterGroups, "GET", f"{PATH}/groups", {}, self._at(node))

    async def show(self, node: str, offset: int) -> LetterShown:
        """One letter, whole."""
        return await self._hub.ask(LetterShown, "GET", f"{PATH}/{offset}", {}, self._at(node))

    async def act(self, node: str, offset: int, act: Act) -> str:
        """Retry or drop one letter; what came of it, in words."""
        outcome = await self._hub.ask(Outcome, "POST", f"{PATH}/{offset}/{act}", {}, self._at(node))
        return outcome.outcome

    async def step(self, node: str, act: Act, query: dict[str, str]) -> Step:
        """Retry or drop some of many letters."""
        return await self._hub.ask(Step, "POST", f"{PATH}/{act}", query, self._at(node))

    async def copy(self, node: str, most: int) -> list[LetterEntry]:
        """The last letters in the copy here of the node's stream, the oldest first."""
        name = StreamName(node, DEAD_LETTERS)
        row = (await self._hub.view(str(name), limit=1)).stream
        first = max(row.first, row.next - most)
        if first == row.next:
            return []
        piece = await self._hub.read(name, first, waits=False)
        return [entry for place, record in enumerate(piece.records) if (entry := _entry(first + place, record))]

    def _at(self, node: str) -> str:
        return "" if node == self.here else node


def _entry(offset: int, record: msgspec.Raw) -> LetterEntry | None:
    try:
        said = _letter.decode(record)
    except UNDECODABLE:
        return None
    if said.part > 1:
        return None
    return LetterEntry(offset, said.at_ms, said.source, said.reason, said.by, said.size, said.head)
