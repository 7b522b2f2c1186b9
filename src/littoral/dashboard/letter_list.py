"""The dead letters of one node on the page: a part of the list at a time, and what can be done about them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import get_args

from nicegui import ui

from littoral.core.errors import LittoralError
from littoral.dashboard.letter_cells import consequence, letter_line
from littoral.dashboard.letter_dialog import VERBS, confirmed_act, picked_act
from littoral.dashboard.letters_api import LettersApi
from littoral.dashboard.notices import tell_failure, tell_success
from littoral.dashboard.pager import CursorPager
from littoral.dashboard.shell import card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import count_text
from littoral.node.letter_messages import Act, Failure, LetterEntry

LINES = 25
PAGES = 40
"""Asked for in search of letters with a text, before it is said that there may be more."""
FAILURES_SHOWN = 3
COPY_LETTERS = 50
"""Shown of a node that does not answer."""
DONE: dict[Act, str] = {"retry": "Retried with success", "drop": "Dropped"}


class LetterList:
    """Shows the letters of the node that was picked last."""

    def __init__(
        self, letters: LettersApi, box: ui.element, wall_ms: Callable[[], int], acted: Callable[[], Awaitable[None]]
    ) -> None:
        """box: what dialogs belong to. acted: called when something was done about letters."""
        self._letters = letters
        self._box = box
        self._wall_ms = wall_ms
        self._acted = acted
        self._node = letters.here
        with card("Letters") as head:
            with head, ui.element("div").classes("lt-controls"):
                self._all = [self._all_button(act) for act in get_args(Act)]
            with ui.element("div").classes("lt-filters"):
                self._source = self._filter("Source contains")
                self._reason = self._filter("Reason contains")
            self._note = ui.label().classes("lt-problem-text")
            self._table = Table(
                "Letters",
                (
                    Column("Source and reason"),
                    Column("Begins with", is_wide=True),
                    Column("Put aside", is_number=True),
                    Column("Size", is_number=True),
                ),
                widths="minmax(0, 1fr) minmax(100px, 300px) auto auto",
                empty="No open letters.",
                pick=self._open,
                acts=[(VERBS[act], partial(self._act_on, act)) for act in get_args(Act)],
            )
            self._pager = CursorPager(self.refresh)
        self._wait()

    def _all_button(self, act: Act) -> ui.button:
        button = ui.button(f"{VERBS[act]} all", on_click=partial(self._act_on_all, act))
        return button.props("outline no-caps dense").classes("lt-act")

    def _filter(self, label: str) -> ui.input:
        field = ui.input(placeholder=label, on_change=self._restart)
        return field.props(f'dense outlined clearable debounce=300 maxlength=200 aria-label="{label}"')

    # What is shown

    async def show(self, node: str) -> None:
        """Show the letters of a node, from the first open one on."""
        self._node = node
        self._wait()
        await self._restart()

    def _wait(self) -> None:
        self._note.set_text("")
        self._table.wait()
        self._pager.hide()
        for button in self._all:
            button.set_visibility(False)

    def look_for(self, reason: str) -> None:
        """Show those with this in their reason."""
        self._reason.set_value(reason)

    async def _restart(self) -> None:
        self._pager.restart()
        await self.refresh()

    async def refresh(self) -> None:
        """Ask the node, and show what it answers; or what is known here of one that does not."""
        node, start, wanted = self._node, self._pager.start, self._wanted()
        try:
            found, following = await self._search(node, start, wanted)
        except LittoralError as error:
            await self._show_copy(node, error)
            return
        if (node, start, wanted) != (self._node, self._pager.start, self._wanted()):
            return  # Something else was asked for meanwhile.
        self._note.set_text("")
        self._show(found, following, can_act=True)

    async def _search(self, node: str, start: int, wanted: dict[str, str]) -> tuple[list[LetterEntry], int | None]:
        """A page's letters, and where the next one begins. Raises LittoralError."""
        found: list[LetterEntry] = []
        following: int | None = start
        for _ in range(PAGES):
            if following is None or len(found) >= LINES:
                break
            page = await self._letters.page(node, following, LINES - len(found), wanted)
            found += page.letters
            following = page.next
        return found, following

    async def _show_copy(self, node: str, error: LittoralError) -> None:
        try:
            found = [] if node == self._letters.here else await self._letters.copy(node, COPY_LETTERS)
        except LittoralError:
            found = []  # What is wrong with the hub is said for the node already.
        text = f"{node} does not say which of its letters are open: {error}"
        if found:
            text += f" Below are the last {len(found)} that it put aside, whatever was done about them since."
        if node == self._node:
            self._note.set_text(text)
            self._show(found, None, can_act=False)

    def _show(self, found: list[LetterEntry], following: int | None, *, can_act: bool) -> None:
        now_ms = self._wall_ms()
        is_filtered = any(self._wanted().values())
        self._table.say_empty("No open letter is like that." if is_filtered else "No open letters.")
        self._table.update([letter_line(entry, now_ms) for entry in found])
        self._table.allow_acts(allowed=can_act)
        for button in self._all:
            button.set_visibility(can_act and bool(found))
        self._pager.update(following)

    def _wanted(self) -> dict[str, str]:
        wanted = {"source": self._source.value, "reason": self._reason.value}
        return {name: text for name, text in wanted.items() if text}

    # What is done

    async def _open(self, offset: str) -> None:
        node = self._node
        try:
            letter = await self._letters.show(node, int(offset))
        except LittoralError as error:
            tell_failure(str(error))
            return
        with self._box:
            act = await picked_act(letter)
        if act is not None:
            await self._act_on(act, offset, node)

    async def _act_on(self, act: Act, offset: str, node: str = "") -> None:
        node = node or self._node
        is_far = node != self._letters.here
        with self._box:
            title = f"{VERBS[act]} dead letter {offset} of {node}?"
            if not await confirmed_act(act, title, consequence(act, node, "The letter is", is_far=is_far)):
                return
        try:
            outcome = await self._letters.act(node, int(offset), act)
        except LittoralError as error:
            tell_failure(str(error))
        else:
            tell_success(f"Letter {offset}: {outcome}")
        await self._acted()

    async def _act_on_all(self, act: Act) -> None:
        node, wanted = self._node, self._wanted()
        which = "All open letters that contain what is asked for above are" if wanted else "All open letters are"
        with self._box:
            title = f"{VERBS[act]} all of {node}?"
            if not await confirmed_act(act, title, consequence(act, node, which, is_far=node != self._letters.here)):
                return
        done, failed = 0, list[Failure]()
        query = wanted
        try:
            while True:
                step = await self._letters.step(node, act, query)
                done, failed = done + step.done, failed + step.failed
                if step.next is None:
                    break
                query = {**wanted, "after": str(step.next), "until": str(step.until)}
        except LittoralError as error:
            tell_failure(str(error))
        _tell_done(act, done, failed)
        await self._acted()


def _tell_done(act: Act, done: int, failed: list[Failure]) -> None:
    if failed:
        some = "; ".join(f"{failure.offset}: {failure.reason}" for failure in failed[:FAILURES_SHOWN])
        tell_failure(f"{DONE[act]}: {count_text(done)}. {count_text(len(failed))} stay open, the first: {some}")
    else:
        tell_success(f"{DONE[act]}: {count_text(done)}")
