"""One dead letter, over the page; and the question before something is done about letters."""

from typing import get_args

from nicegui import ui

from littoral.dashboard.facts import Facts
from littoral.dashboard.letter_cells import letter_facts
from littoral.dashboard.notices import confirmed, dialog_button, put_away
from littoral.dashboard.record_text import record_text
from littoral.node.letter_messages import Act, LetterShown

HEAD_BYTES = 64 * 1024
"""Of a record: as much as is looked at to show it."""
VERBS: dict[Act, str] = {"retry": "Retry", "drop": "Drop"}
COLORS: dict[Act, str] = {"retry": "primary", "drop": "negative"}


async def picked_act(letter: LetterShown) -> Act | None:
    """Show a letter until it is put away; what is to be done about it, if anything."""
    with ui.dialog(value=True) as dialog, ui.element("div").classes("lt-dialog").props("role=dialog aria-modal=true"):
        with ui.element("div").classes("lt-card-head"):
            ui.label(f"Dead letter {letter.offset}").classes("lt-title")
            ui.button(icon="close", on_click=dialog.close).props('flat round dense aria-label="Close"').classes(
                "lt-icon"
            )
        ui.label(letter.reason).classes("lt-reason")
        Facts().update(letter_facts(letter))
        _record(letter)
        if letter.state == "open":
            with ui.element("div").classes("lt-buttons"):
                for act in get_args(Act):
                    dialog_button(dialog, VERBS[act], act, f"outline color={COLORS[act]}")
    answer = await dialog
    put_away(dialog)
    return answer if answer in VERBS else None


async def confirmed_act(act: Act, title: str, text: str) -> bool:
    """Ask whether it is to be done. text: what it will do."""
    return await confirmed(VERBS[act], COLORS[act], title, text)


def _record(letter: LetterShown) -> None:
    if letter.record is None:
        kept = f"The record is not kept. It began with: {letter.head}" if letter.head else "There is no record."
        ui.label(kept).classes("lt-sub")
        return
    shown = record_text(letter.record[:HEAD_BYTES], len(letter.record))
    ui.label(f"Record, as {shown.kind}").classes("lt-sub")
    ui.label(shown.text or "(empty)").classes("lt-content")
    if shown.note:
        ui.label(shown.note).classes("lt-sub")
