"""The nodes at the top of a page, and which of them is picked: the rest of the page is of that one, and asks it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from nicegui import ui

from littoral.core.errors import LittoralError
from littoral.dashboard.cells import Cell, Line, Tone
from littoral.dashboard.node_view import HEALTH_WORDS, Health, judge
from littoral.dashboard.shell import Shell, card
from littoral.dashboard.table import Column, Table
from littoral.node.status import NodeStatus

NODES = 50
"""Shown at most."""
AGAIN_S = 3.0
"""Before this node is asked again. Others are asked when they are picked, or somebody says so: their links may be slow, or cost
money."""
HEALTH_TONES: dict[Health, Tone] = {"ok": "ok", "problem": "warn", "stale": "warn", "cut": "bad"}


@dataclass(frozen=True, slots=True)
class NodesTable:
    """How nodes are shown."""

    label: str
    """For who cannot see it."""
    figures: Sequence[Column]
    """What there is to say of a node, between its name and its state."""
    widths: str
    """Of all columns, as CSS."""
    empty: str
    """Said where there are no nodes."""
    hint: str = ""


class NodePicker:
    """Shows nodes, and asks the picked one: at once, again while it is this node, and when somebody says so."""

    def __init__(
        self,
        shell: Shell,
        top: ui.element,
        table: NodesTable,
        here: str,
        *,
        picked: Callable[[], object],
        ask: Callable[[str], Awaitable[None]],
        say: Callable[[str], object],
    ) -> None:
        """top: where the nodes stand; what is of the picked one stands `below`. here: this node. picked: called when somebody has
        picked a node, before it is asked. ask: asks a node, and shows its answer if that one still `is_picked`; raises
        LittoralError. say: told why there is no answer; an empty text once there is one."""
        self.node = ""
        """The picked one; empty before there are any."""
        self._shell = shell
        self._here = here
        self._picked = picked
        self._ask = ask
        self._say = say
        columns = (Column("Node"), *table.figures, Column("State", is_state=True))
        with top, card("Nodes"):
            self._table = Table(
                table.label, columns, widths=table.widths, empty=table.empty, hint=table.hint, pick=self._pick
            )
        with shell.body:
            self.below = ui.element("div").classes("lt-picked")
            ui.timer(AGAIN_S, self._ask_here)

    def is_picked(self, node: str) -> bool:
        """Whether it still is, after something was awaited."""
        return node == self.node

    def update(
        self, nodes: Iterable[NodeStatus], first: str, figures: Callable[[NodeStatus], tuple[Cell, ...]]
    ) -> None:
        """Show these nodes. first: picked while none is; empty where there are none. figures: of a node, for the columns."""
        if not self.node and first:
            self.node = first
            with self.below:
                # Another node may take long to answer: the rest does not wait for it.
                ui.timer(0, self.ask, once=True)
        picture, now_ms = self._shell.picture, self._shell.clock.wall_ms()
        self._table.update(
            [
                node_line(each, figures(each), judge(picture, each, now_ms), is_picked=self.is_picked(each.node))
                for each in nodes
            ]
        )
        self.below.set_visibility(bool(self.node))

    def make_again_button(self) -> None:
        """A button that has the picked node asked again."""
        button = ui.button(icon="refresh", on_click=self.ask)
        button.props('flat round dense aria-label="Ask again"').classes("lt-icon")

    async def ask(self) -> None:
        """Ask the picked node now."""
        node = self.node
        if not node:
            return
        try:
            await self._ask(node)
        except LittoralError as error:
            if self.is_picked(node):
                self._say(str(error))
            return
        if self.is_picked(node):
            self._say("")

    async def _pick(self, node: str) -> None:
        self.node = node
        self._picked()
        await self.ask()

    async def _ask_here(self) -> None:
        if self.node == self._here:
            await self.ask()


def node_line(status: NodeStatus, figures: tuple[Cell, ...], health: tuple[Health, str], *, is_picked: bool) -> Line:
    """A node. health: and what it rests on."""
    word, reason = health
    name = Cell(status.node, "shown below" if is_picked else "")
    return Line(status.node, (name, *figures, Cell(HEALTH_WORDS[word], reason, HEALTH_TONES[word])))
