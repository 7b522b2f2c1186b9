"""Tables on the page, as the elements that are sent to the browser."""

import asyncio
from collections.abc import Callable

from nicegui import Client, ui

from littoral.dashboard.cells import Cell, Line
from littoral.dashboard.table import Column, Table

HOSTILE = '" innerHTML="<img src=x onerror=alert(1)>" x="'


def on_a_page(story: Callable[[Client], None]) -> None:
    async def main() -> None:
        with Client(ui.page("/")) as client:
            story(client)

    asyncio.run(main())


def lines(*names: str) -> list[Line]:
    return [Line(name, (Cell(name), Cell("1", share=0.5)), f"/stream?name={name}") for name in names]


def rows(client: Client) -> list[ui.element]:
    return [element for element in client.elements.values() if "data-row" in element.props]


def test_a_name_does_not_become_a_property_of_an_element() -> None:
    def story(client: Client) -> None:
        Table("Letters", (Column("Reason"), Column("Share")), empty="").update(lines(HOSTILE))
        assert [row.props["data-row"] for row in rows(client)] == [HOSTILE]
        for element in client.elements.values():
            assert "innerHTML" not in element.props

    on_a_page(story)


def test_lines_are_kept_and_filled_anew() -> None:
    def story(client: Client) -> None:
        table = Table("Streams", (Column("Name"), Column("Share")), empty="No streams.")
        table.update(lines("a", "b", "c"))
        table.update(lines("d"))
        assert len(rows(client)) == 3
        assert [row.props["data-row"] for row in rows(client) if row.visible] == ["d"]
        table.update([])
        assert not any(row.visible for row in rows(client))

    on_a_page(story)
