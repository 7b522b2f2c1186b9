"""What all pages have: the name of the tree, the way to the other pages, and what is wrong at the moment."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from nicegui import ui

from littoral.core.clock import Clock
from littoral.core.errors import LittoralError
from littoral.dashboard.picture import Picture
from littoral.dashboard.texts import clock_text, count_text

UPDATE_S = 1.0
"""Figures that change faster cannot be read."""
PAGES = {
    "/": "Overview",
    "/streams": "Streams",
    "/links": "Links",
    "/cache": "Cache",
    "/functions": "Functions",
    "/mqtt": "MQTT",
    "/dead-letters": "Dead letters",
    "/quarantine": "Quarantine",
}
"""The pages, by where they are."""
LOGO = (
    '<svg viewBox="0 0 32 32" width="30" height="30" aria-hidden="true"><rect width="32" height="32" rx="8" '
    'fill="#0b6aa2"/><path d="M5 13c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 3.6-3 7.3-3M5 19c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 '
    '3.6-3 7.3-3M5 25c3.7 0 3.7-3 7.3-3s3.7 3 7.4 3 3.6-3 7.3-3" fill="none" stroke="#fff" stroke-width="2.2" '
    'stroke-linecap="round"/></svg>'
)
REMEMBER_THEME = (
    "() => { Quasar.Dark.toggle(); localStorage.setItem('littoral-theme', Quasar.Dark.isActive ? 'dark' : 'light'); }"
)
RECALL_THEME = "const theme = localStorage.getItem('littoral-theme'); if (theme) Quasar.Dark.set(theme === 'dark');"
SHOW_PLACE = "document.querySelector('.lt-nav [aria-current]')?.scrollIntoView({block: 'nearest', inline: 'center'});"
"""Where the links to the pages are wider than the window."""
STYLE = (Path(__file__).parent / "assets" / "style.css").read_text(encoding="utf-8")

T = TypeVar("T")


class Shell:
    """The frame of one browser's page."""

    def __init__(self, picture: Picture, clock: Clock, looked: Callable[[], None], path: str) -> None:
        """looked: told once a second that the page is open. path: of the page, in PAGES."""
        self.clock = clock
        self.picture = picture
        self._looked = looked
        self._problem: str | None = None
        ui.add_css(STYLE)
        with ui.element("div").classes("lt-page"):
            self._header = _Header()
            self._navigation = _Navigation(path)
            self._banner = _Banner()
            self.body = ui.element("div").classes("lt-body")
        self.update()
        ui.timer(UPDATE_S, self.update)
        ui.timer(0, lambda: ui.run_javascript(RECALL_THEME + SHOW_PLACE), once=True)

    def update(self) -> None:
        """Show the picture as it is now."""
        self._looked()
        self._header.update(self.picture, self.clock.wall_ms())
        self._navigation.update(self.picture)
        self._banner.update(self.picture, self._problem)

    async def ask(self, question: Awaitable[T]) -> T | None:
        """The answer to what the page needs; None where there is none, which is then said on top of it."""
        try:
            answer = await question
        except LittoralError as error:
            self._problem = str(error)
            answer = None
        else:
            self._problem = None
        self._banner.update(self.picture, self._problem)
        return answer


@contextmanager
def card(title: str, css: str = "") -> Iterator[ui.element]:
    """A titled part of a page; yields its head, for controls beside the title."""
    with ui.element("section").classes(f"lt-card {css}"):
        with ui.element("div").classes("lt-card-head") as head:
            ui.label(title).classes("lt-title").props("role=heading aria-level=2")
        yield head


class _Header:
    def __init__(self) -> None:
        with ui.element("header").classes("lt-header"):
            ui.html(LOGO, sanitize=False).classes("lt-logo")
            ui.label("Littoral").classes("lt-brand")
            self._name = ui.label().classes("lt-root")
            self._version = ui.label().classes("lt-sub lt-version")
            ui.element("div").classes("lt-space")
            with ui.element("div").classes("lt-badge lt-stale") as self._badge:
                ui.element("span").classes("lt-mark")
                self._state = ui.label()
            self._clock = ui.label().classes("lt-clock")
            theme = ui.button(icon="contrast").props('flat round dense aria-label="Light or dark"').classes("lt-theme")
            theme.on("click", js_handler=REMEMBER_THEME)

    def update(self, picture: Picture, now_ms: int) -> None:
        root = picture.nodes.get(picture.name)
        self._name.set_text(picture.name)
        self._version.set_text(f"version {root.version}" if root else "")
        live = picture.problem is None
        self._badge.classes(add="lt-ok" if live else "lt-cut", remove="lt-stale " + ("lt-cut" if live else "lt-ok"))
        self._state.set_text("Live" if live else "No answer")
        self._clock.set_text(clock_text(now_ms))


class _Navigation:
    """Links to all pages, with what waits there for a person."""

    def __init__(self, here: str) -> None:
        self._counts: dict[str, ui.label] = {}
        with ui.element("nav").classes("lt-nav").props('aria-label="Pages"'):
            for path, title in PAGES.items():
                with ui.link(target=path).classes("lt-nav-link") as link:
                    if path == here:
                        link.props("aria-current=page")
                    ui.label(title)
                    self._counts[path] = ui.label().classes("lt-count")

    def update(self, picture: Picture) -> None:
        counts = {"/dead-letters": picture.dead_letter_count, "/quarantine": picture.blocked_count}
        for path, label in self._counts.items():
            count = counts.get(path, 0)
            label.set_text(count_text(count) if count < 1000 else "999+")
            label.set_visibility(bool(count))


class _Banner:
    def __init__(self) -> None:
        with ui.element("div").classes("lt-banner").props("role=status") as self._box:
            self._title = ui.label().classes("lt-main")
            self._text = ui.label()

    def update(self, picture: Picture, problem: str | None) -> None:
        self._box.set_visibility(bool(picture.problem or problem or picture.links_problem))
        if picture.problem:
            self._title.set_text("There is no answer from the hub. What is shown is the last that was heard.")
            self._text.set_text(picture.problem)
        elif problem:
            self._title.set_text("This page could not be brought up to date. What is shown is the last that was heard.")
            self._text.set_text(problem)
        elif picture.links_problem:
            self._title.set_text("The WAN links cannot be steered.")
            self._text.set_text(picture.links_problem)
