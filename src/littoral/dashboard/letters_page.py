"""Dead letters: at which nodes they are, what they have in common, each of them, and what can be done about them."""

from nicegui import ui

from littoral.core.errors import LittoralError
from littoral.dashboard.letter_cells import group_line, node_line
from littoral.dashboard.letter_list import LetterList
from littoral.dashboard.letters_api import LettersApi
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import count_text
from littoral.node.status import NodeStatus

NODES = 50
"""Shown: those with most letters."""
AGAIN_S = 3.0
"""Before this node is asked again, however many letters come."""
AGAIN_FAR_S = 30.0
"""Before another node is asked again without having been clicked: its link may be slow, or cost money."""


class LettersPage:
    """One browser's view."""

    def __init__(self, shell: Shell, letters: LettersApi) -> None:
        self._shell = shell
        self._letters = letters
        self._node = ""
        """Whose letters are shown; empty before anything is known."""
        self._counted = (0, 0)
        """Open, and ever, when they were asked for."""
        self._asked_s = 0.0
        with shell.body:
            with card("Nodes"):
                self._nodes = Table(
                    "Nodes with dead letters",
                    (Column("Node"), Column("Open", is_number=True), Column("Done with, or gone", is_number=True)),
                    widths="minmax(0, 1fr) minmax(60px, auto) minmax(130px, auto)",
                    empty="No dead letters.",
                    hint="What a node cannot apply, like a reading that a rule cannot use, is put aside and appears here.",
                    pick=self._pick,
                )
            with ui.element("div").classes("lt-picked") as self._picked:
                with card("Reasons") as head:
                    with head:
                        self._looked_at = ui.label().classes("lt-sub")
                    self._groups = Table(
                        "Reasons",
                        (Column("Reason"), Column("Letters", is_number=True), Column("Last", is_number=True)),
                        widths="minmax(0, 1fr) auto minmax(90px, auto)",
                        empty="No open letters.",
                        pick=self._pick_group,
                    )
                self._list = LetterList(letters, shell.body, shell.clock.wall_ms, self._load)
        ui.timer(UPDATE_S, self._follow)

    async def _follow(self) -> None:
        """Show the counts as they are, and ask for letters where they have changed."""
        nodes = self._with_letters()
        picked = self._node or (nodes[0].node if nodes else "")
        self._nodes.update([node_line(status, is_picked=status.node == picked) for status in nodes])
        self._picked.set_visibility(bool(picked))
        if picked and not self._node:
            await self._pick(picked)
            return
        again_s = AGAIN_S if self._node == self._letters.here else AGAIN_FAR_S
        if self._node and self._count() != self._counted and self._now_s() - self._asked_s >= again_s:
            await self._load()

    def _with_letters(self) -> list[NodeStatus]:
        nodes = [status for status in self._shell.picture.nodes.values() if status.dead_letters_ever]
        nodes.sort(key=lambda status: (-status.dead_letters, status.node))
        return nodes[:NODES]

    def _count(self) -> tuple[int, int]:
        status = self._shell.picture.nodes.get(self._node)
        return (status.dead_letters, status.dead_letters_ever) if status is not None else (0, 0)

    def _now_s(self) -> float:
        return self._shell.clock.monotonic_s()

    async def _pick(self, node: str) -> None:
        self._node = node
        self._noted()
        self._groups.wait()
        await self._load_groups()
        await self._list.show(node)

    async def _load(self) -> None:
        self._noted()
        await self._load_groups()
        await self._list.refresh()

    def _noted(self) -> None:
        self._counted, self._asked_s = self._count(), self._now_s()

    async def _load_groups(self) -> None:
        node = self._node
        try:
            survey = await self._letters.groups(node)
        except LittoralError:
            # The list is asked for next, and says why there is no answer.
            self._groups.update([])
            self._looked_at.set_text("not known")
            return
        if node != self._node:
            return
        self._groups.update([group_line(group, survey.now_ms) for group in survey.groups])
        is_part = survey.looked_at < survey.open
        part = f"of the first {count_text(survey.looked_at)} of {count_text(survey.open)}" if is_part else ""
        self._looked_at.set_text(part)

    def _pick_group(self, containing: str) -> None:
        self._list.look_for(containing)
