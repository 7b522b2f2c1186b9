"""The nodes, as lines where there is no terminal, and as a table where there is one."""

import io

from rich.console import Console

from littoral.cli.local.observer import NodeLine
from littoral.cli.local.view import PLAIN_EVERY_S, TreeView

CLOUD = NodeLine("cloud", "root", windows=700, alerts=17)
SITE = NodeLine("plant-a", "up", 3, 0.4, 156.2, 408, 9)
CUT = NodeLine("plant-a", "cut", 275, 130.0, 156.2, 474, 12)


def console(**settings):
    # The colours of a test run's environment must not matter.
    return Console(file=io.StringIO(), width=80, highlight=False, **settings)


def test_without_a_terminal_links_are_told_as_they_change_and_numbers_now_and_then():
    out = console(force_terminal=False)
    out.width = 200
    with TreeView(out) as view:
        view.show([CLOUD, SITE], "5 published", 100.0)
        view.show([CLOUD, SITE], "6 published", 101.0)
        view.show([CLOUD, CUT], "7 published", 102.0)
        view.show([CLOUD, CUT], "8 published", 100.0 + PLAIN_EVERY_S)
    assert out.file.getvalue().splitlines() == [
        "cloud: WAN root",
        "plant-a: WAN up",
        "cloud: 700 windows, 17 alerts; plant-a: 408 windows, 9 alerts, queue 3, 156 readings/s; 5 published",
        "plant-a: WAN cut",
        "cloud: 700 windows, 17 alerts; plant-a: 474 windows, 12 alerts, queue 275, 156 readings/s; 8 published",
    ]


def test_on_a_terminal_it_is_a_table_that_goes_away():
    out = console(force_terminal=True, color_system=None)
    with TreeView(out) as view:
        view.show([CLOUD, CUT], "7 published", 0.0)
        shown = out.file.getvalue()
    for text in ("READINGS/S", "cut", "275", "2 min", "156", "7 published"):
        assert text in shown
