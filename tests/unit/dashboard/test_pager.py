"""The buttons below a long list, as the elements that are sent to the browser."""

import asyncio
from collections.abc import Callable

from nicegui import Client, ui

from littoral.dashboard.pager import CursorPager, Pager


def on_a_page(story: Callable[[Client], None]) -> None:
    async def main() -> None:
        with Client(ui.page("/")) as client:
            story(client)

    asyncio.run(main())


def look(client: Client) -> tuple[str, dict[str, bool]]:
    """What is written, and which buttons are seen and whether they can be pressed."""
    elements = client.elements.values()
    (text,) = [element.text for element in elements if isinstance(element, ui.label)]
    buttons = [element for element in elements if isinstance(element, ui.button) and element.visible]
    return text, {str(button.props["aria-label"]): button.enabled for button in buttons}


def click(client: Client, label: str) -> None:
    """As the browser reports it, whatever the page shows by then."""
    (button,) = [each for each in client.elements.values() if each.props.get("aria-label") == label]
    (listener,) = [each for each in button._event_listeners.values() if each.type == "click"]
    button._handle_event({"listener_id": listener.id, "args": {}})


def test_any_part_of_a_list_whose_length_is_known() -> None:
    def story(client: Client) -> None:
        wanted: list[int] = []
        pager = Pager("streams", 25, lambda: wanted.append(pager.skip))
        assert look(client) == ("", {})
        pager.update(25, 60)
        assert look(client) == ("1 to 25 of 60 streams", {"Back": False, "On": True})
        click(client, "On")
        pager.update(25, 60)
        click(client, "On")
        pager.update(10, 60)
        assert look(client) == ("51 to 60 of 60 streams", {"Back": True, "On": False})
        click(client, "Back")
        assert wanted == [25, 50, 25]
        pager.restart()
        pager.update(3, 3)
        assert look(client) == ("3 streams", {})

    on_a_page(story)


def test_a_list_whose_pages_say_where_the_next_one_begins() -> None:
    def story(client: Client) -> None:
        wanted: list[int] = []
        pager = CursorPager(lambda: wanted.append(pager.start))
        assert look(client) == ("", {})
        pager.update(31)
        assert look(client) == ("Page 1", {"Back": False, "On": True})
        click(client, "On")
        pager.update(77)
        click(client, "On")
        pager.update(None)
        assert look(client) == ("Page 3", {"Back": True, "On": False})
        click(client, "Back")
        pager.update(77)
        assert look(client) == ("Page 2", {"Back": True, "On": True})
        assert wanted == [31, 77, 31]
        pager.restart()
        assert pager.start == 0

    on_a_page(story)


def test_clicks_that_come_before_their_page_turn_once() -> None:
    def story(client: Client) -> None:
        wanted: list[int] = []
        pager = CursorPager(lambda: wanted.append(pager.start))
        pager.update(31)
        for _ in range(2):
            click(client, "On")
        assert wanted == [31]
        pager.update(None)
        for _ in range(2):
            click(client, "Back")
        assert pager.start == 0

    on_a_page(story)
