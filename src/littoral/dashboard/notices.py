"""What a person is asked before something is done, and told afterwards."""

from nicegui import ui


async def confirmed(verb: str, color: str, title: str, text: str) -> bool:
    """Ask whether it is to be done. verb: of the button that does it. text: what it will do."""
    with ui.dialog(value=True) as dialog, ui.element("div").classes("lt-dialog").props("role=alertdialog"):
        ui.label(title).classes("lt-title")
        ui.label(text).classes("lt-consequence")
        with ui.element("div").classes("lt-buttons"):
            dialog_button(dialog, "Cancel", None, "outline")
            dialog_button(dialog, verb, verb, f"unelevated color={color}")
    answer = await dialog
    put_away(dialog)
    return bool(answer == verb)


def dialog_button(dialog: ui.dialog, text: str, answer: str | None, look: str) -> None:
    """One that ends a dialog with an answer."""
    button = ui.button(text, on_click=lambda: dialog.submit(answer))
    button.props(f"{look} no-caps dense").classes("lt-act")


def put_away(dialog: ui.dialog) -> None:
    """It was answered."""
    if not dialog.is_deleted:  # It is when the page was left meanwhile.
        dialog.delete()


def tell_success(text: str) -> None:
    """Something was done."""
    ui.notify(text, type="positive")


def tell_failure(text: str) -> None:
    """Something was not done, or not all of it."""
    ui.notify(text, type="negative", multi_line=True, timeout=0, close_button="Close")
