"""Which part of a long list is shown, and the way to the others."""

from collections.abc import Callable

from nicegui import ui

from littoral.dashboard.texts import count_text


class Pager:
    """Two buttons, and what is shown."""

    def __init__(self, noun: str, size: int, turned: Callable[[], object]) -> None:
        """noun: what is listed, in the plural. size: lines of a page. turned: told when another part is wanted."""
        self.skip = 0
        self._noun = noun
        self._size = size
        self._turned = turned
        with ui.element("div").classes("lt-pager"):
            self._text = ui.label().classes("lt-sub")
            ui.element("div").classes("lt-space")
            self._back = self._button("chevron_left", "Back", -size)
            self._on = self._button("chevron_right", "On", size)
        self.update(0, 0)

    def _button(self, icon: str, label: str, step: int) -> ui.button:
        button = ui.button(icon=icon).props(f'flat round dense aria-label="{label}"').classes("lt-icon")
        return button.on("click", lambda: self._turn(step))

    def _turn(self, step: int) -> object:
        self.skip = max(0, self.skip + step)
        return self._turned()

    def restart(self) -> None:
        """Something else is listed now."""
        self.skip = 0

    def update(self, shown: int, found: int, more: str = "") -> None:
        """So many are shown, of so many. more: what else there is to say of all of them."""
        if not shown and self.skip:
            self.skip = max(0, (found - 1) // self._size * self._size)
        span = f"{count_text(self.skip + 1)} to {count_text(self.skip + shown)} of " if shown < found else ""
        self._text.set_text(f"{span}{count_text(found)} {self._noun}{more}" if found else "")
        self._back.set_enabled(self.skip > 0)
        self._on.set_enabled(self.skip + shown < found)
        for button in (self._back, self._on):
            button.set_visibility(self.skip > 0 or shown < found)
