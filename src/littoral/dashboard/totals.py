"""Figures beside each other, at the top of a page."""

from collections.abc import Iterable, Mapping

from nicegui import ui


class Totals:
    """Shows a text for each name."""

    def __init__(self, names: Iterable[str]) -> None:
        with ui.element("section").classes("lt-totals"):
            self._totals = {name: _Total(name) for name in names}

    def update(self, texts: Mapping[str, str], subs: Mapping[str, str] = {}) -> None:
        """Show these. subs: what there is to say of them."""
        for name, text in texts.items():
            self._totals[name].show(text, subs.get(name, ""))


class _Total:
    def __init__(self, name: str) -> None:
        with ui.element("div").classes("lt-total"):
            ui.label(name).classes("lt-sub")
            self._value = ui.label().classes("lt-figure").props(f'data-total="{name}"')
            self._sub = ui.label().classes("lt-sub")

    def show(self, text: str, sub: str) -> None:
        self._value.set_text(text)
        self._sub.set_text(sub)
