"""All streams of the node, a page at a time: the hub filters and sorts, and only what is shown is sent."""

from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import urlencode

import msgspec
from nicegui import ui

from littoral.core.lanes import LANES
from littoral.dashboard.hub_api import HubApi
from littoral.dashboard.pager import Pager
from littoral.dashboard.shell import Shell, card
from littoral.dashboard.stream_cells import stream_line
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import bytes_text, count_text
from littoral.node.stream_desk import TEXT_MOST, Kind, Order

POLL_S = 3.0
LINES = 25
COLUMNS = (
    Column("Stream", "name"),
    Column("Lane", "lane"),
    Column("Records", "records", is_number=True),
    Column("Budget", "share"),
    Column("Oldest"),
    Column("Rate", is_number=True),
    Column("State"),
)
WIDTHS = "minmax(180px, 1fr) auto auto minmax(150px, 190px) auto auto fit-content(210px)"
KINDS: dict[Kind, str] = {
    "": "All streams",
    "own": "Of this node",
    "copies": "Copies",
    "open": "Open",
    "closed": "Closed",
    "forks": "Forks",
    "aside": "Put aside",
}
ORDERS: dict[Order, str] = {
    "name": "By name",
    "lane": "By lane",
    "records": "By records",
    "bytes": "By bytes",
    "share": "By share of budget",
    "created": "By age",
}


class Choice(msgspec.Struct):
    """What is listed: in the page's address, so that it can be come back to."""

    text: str = ""
    lane: str = ""
    kind: Kind = ""
    order: Order = "name"
    descending: bool = False


def choice_of(text: str, lane: str, kind: str, order: str, descending: str) -> Choice:
    """What an address asks for; what it says that is nothing to ask for is left out."""
    return Choice(
        text[:TEXT_MOST],
        lane if lane in LANES else "",
        msgspec.convert(kind, Kind) if kind in get_args(Kind) else "",
        msgspec.convert(order, Order) if order in ORDERS else "name",
        bool(descending),
    )


class StreamsPage:
    """One browser's view."""

    def __init__(self, shell: Shell, hub: HubApi, choice: Choice) -> None:
        self._shell = shell
        self._hub = hub
        self._choice = choice
        with shell.body, card("Streams") as head:
            with head:
                self._sum = ui.label().classes("lt-sub")
            with ui.element("div").classes("lt-filters"):
                self._text = ui.input(placeholder="Name contains", value=choice.text, on_change=self._changed)
                self._text.props(
                    f'dense outlined clearable debounce=300 maxlength={TEXT_MOST} aria-label="Name contains"'
                )
                lanes = {"": "All lanes"} | {str(lane): lane for lane in LANES}
                self._lane = self._select("Lane", lanes, choice.lane)
                self._kind = self._select("Kind", KINDS, choice.kind)
                self._order = self._select("Order", ORDERS, choice.order)
            self._table = Table(
                "Streams",
                COLUMNS,
                widths=WIDTHS,
                sort=self._sorted,
                empty="No streams.",
                hint="Streams appear when something is appended: by a rule, an app, or a client.",
            )
            self._pager = Pager("streams", LINES, self.refresh)
        ui.timer(POLL_S, self.refresh)

    def _select(self, name: str, options: Mapping[Any, str], value: str) -> ui.select:
        choices: dict[Any, str] = dict(options)
        select = ui.select(choices, value=value, on_change=self._changed)
        return select.props(f'dense outlined options-dense aria-label="{name}"').classes(f"lt-select-{name.lower()}")

    async def _changed(self) -> None:
        choice = self._choice
        choice.text, choice.lane = self._text.value or "", self._lane.value
        choice.kind, choice.order = self._kind.value, self._order.value
        await self._restart()

    async def _sorted(self, order: str) -> None:
        choice = self._choice
        if choice.order == order:
            choice.descending = not choice.descending
            await self._restart()
        else:
            # The largest are looked for; of names and lanes the first.
            choice.descending = order not in ("name", "lane")
            self._order.set_value(order)

    async def _restart(self) -> None:
        self._pager.restart()
        ui.navigate.history.replace(f"/streams?{urlencode(_words(self._choice))}")
        await self.refresh()

    async def refresh(self) -> None:
        """Ask the hub, and show what it answers."""
        choice = self._choice
        query = {**_words(choice), "skip": str(self._pager.skip), "limit": str(LINES)}
        page = await self._shell.ask(self._hub.streams(**query))
        if page is None or choice != self._choice:
            return
        is_all = not (choice.text or choice.lane or choice.kind)
        found = "" if is_all else f"{count_text(page.found)} of {count_text(page.total)}, "
        self._sum.set_text(f"{found}{bytes_text(page.bytes)}")
        self._table.say_empty("No streams." if is_all else "No stream is like that.")
        lines = [stream_line(row, page.now_ms) for row in page.streams]
        self._table.update(lines, choice.order, descending=choice.descending)
        self._pager.update(len(lines), page.found)


def _words(choice: Choice) -> dict[str, str]:
    """What is not as ever, as words of an address or a query."""
    words = {"text": choice.text, "lane": choice.lane, "kind": choice.kind}
    if choice.order != "name" or choice.descending:
        words |= {"order": choice.order, "descending": "1" if choice.descending else ""}
    return {name: word for name, word in words.items() if word}
