"""Which part of a long list is shown, and the way to the others."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from nicegui import ui

from littoral.dashboard.texts import count_text


class _Buttons(ABC):
    """Two buttons, and what is shown."""

    def __init__(self, turned: Callable[[], object]) -> None:
        """turned: told when another part is wanted."""
        self._turned = turned
        with ui.element("div").classes("lt-pager"):
            self._text = ui.label().classes("lt-sub")
            ui.element("div").classes("lt-space")
            self._back = self._button("chevron_left", "Back", self._turn_back)
            self._on = self._button("chevron_right", "On", self._turn_on)

    def _button(self, icon: str, label: str, turn: Callable[[], object]) -> ui.button:
        button = ui.button(icon=icon, on_click=turn)
        return button.props(f'flat round dense aria-label="{label}"').classes("lt-icon")

    @abstractmethod
    def _turn_back(self) -> object: ...

    @abstractmethod
    def _turn_on(self) -> object: ...

    def _show(self, text: str, *, has_before: bool, has_more: bool) -> None:
        self._text.set_text(text)
        self._back.set_enabled(has_before)
        self._on.set_enabled(has_more)
        for button in (self._back, self._on):
            button.set_visibility(has_before or has_more)


class Pager(_Buttons):
    """Of a list whose length is known, any part of which may be asked for."""

    def __init__(self, noun: str, size: int, turned: Callable[[], object]) -> None:
        """noun: what is listed, in the plural. size: lines of a page. turned: told when another part is wanted."""
        super().__init__(turned)
        self.skip = 0
        self._noun = noun
        self._size = size
        self.update(0, 0)

    def _turn_back(self) -> object:
        self.skip = max(0, self.skip - self._size)
        return self._turned()

    def _turn_on(self) -> object:
        self.skip += self._size
        return self._turned()

    def restart(self) -> None:
        """Something else is listed now."""
        self.skip = 0

    def update(self, shown: int, found: int, more: str = "") -> None:
        """So many are shown, of so many. more: what else there is to say of all of them."""
        if not shown and self.skip:
            self.skip = max(0, (found - 1) // self._size * self._size)
        span = f"{count_text(self.skip + 1)} to {count_text(self.skip + shown)} of " if shown < found else ""
        text = f"{span}{count_text(found)} {self._noun}{more}" if found else ""
        self._show(text, has_before=self.skip > 0, has_more=self.skip + shown < found)


class CursorPager(_Buttons):
    """Of a list whose pages each say where the next one begins."""

    def __init__(self, turned: Callable[[], object]) -> None:
        super().__init__(turned)
        self._starts = [0]
        """Where each page up to the one shown begins."""
        self._following: int | None = None
        self.update(None)

    @property
    def start(self) -> int:
        """Where the page that is shown, or has been asked for, begins."""
        return self._starts[-1]

    def _turn_back(self) -> object:
        if len(self._starts) > 1:
            self._starts.pop()
        return self._turned()

    def _turn_on(self) -> object:
        if self._following is None:
            return None
        self._starts.append(self._following)
        self._following = None  # A second click before the page is here is not one for the page behind it.
        return self._turned()

    def restart(self) -> None:
        """Something else is listed now."""
        self._starts = [0]
        self._following = None

    def hide(self) -> None:
        """Nothing is known of the list yet."""
        self._show("", has_before=False, has_more=False)

    def update(self, following: int | None) -> None:
        """A page is shown. following: where the next one begins; None if it was the last."""
        self._following = following
        page = len(self._starts)
        text = f"Page {page}" if page > 1 or following is not None else ""
        self._show(text, has_before=page > 1, has_more=following is not None)
