"""The MQTT broker of a node: its clients, what waits for them, and what passes by topic."""

from heapq import nlargest

from nicegui import ui

from littoral.core.errors import LittoralError
from littoral.dashboard.mqtt_api import OPEN_CHARACTERS, MqttApi
from littoral.dashboard.mqtt_cells import client_line, node_line, topic_line, totals
from littoral.dashboard.node_view import judge
from littoral.dashboard.notices import confirmed, tell_failure, tell_success
from littoral.dashboard.pager import Pager
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import count_text
from littoral.dashboard.topic_tree import TopicTree
from littoral.dashboard.totals import Totals
from littoral.node.mqtt_messages import TEXT_MOST, MqttClients, TopicPage
from littoral.node.status import NodeStatus

NODES = 50
CLIENTS = 10
TOPICS = 200
"""Lines of one page."""
AGAIN_S = 3.0
"""Before this node is asked again. Others are asked when they are picked, or somebody says so: their links may be slow, or cost
money."""
TOTALS = ("Connected", "Messages/s", "Sessions away", "Queued", "Dropped", "Topics")
STATES = {"": "All", "connected": "Connected", "away": "Away", "waiting": "With a queue"}


class MqttPage:
    """One browser's view."""

    def __init__(self, shell: Shell, mqtt: MqttApi) -> None:
        self._shell = shell
        self._mqtt = mqtt
        self._node = ""
        self._unfolded: dict[str, None] = {}
        self._before: tuple[int, int] | None = None
        """When this node's broker was asked last, and what it had received."""
        self._topics: TopicPage | None = None
        with shell.body:
            self._make_nodes()
            with ui.element("div").classes("lt-picked") as self._picked:
                self._totals = Totals(TOTALS)
                self._problem = ui.label().classes("lt-problem-text")
                self._make_clients()
                self._make_topics()
        self.update()
        ui.timer(UPDATE_S, self.update)
        ui.timer(AGAIN_S, self._ask_here)

    def _make_nodes(self) -> None:
        with card("Nodes"):
            self._nodes = Table(
                "Nodes with a broker",
                (
                    Column("Node"),
                    Column("Clients", is_number=True),
                    Column("Messages/s", is_number=True),
                    Column("State", is_wide=True),
                ),
                widths="minmax(90px, 1fr) repeat(2, minmax(100px, auto)) minmax(140px, 1fr)",
                empty="No nodes.",
                pick=self._pick,
            )

    def _make_clients(self) -> None:
        with card("Clients and sessions") as head:
            with head:
                again = ui.button(icon="refresh", on_click=self._ask)
                again.props('flat round dense aria-label="Ask again"').classes("lt-icon")
            with ui.element("div").classes("lt-filters"):
                self._text = ui.input(placeholder="Client, user or address contains", on_change=self._looked_for)
                self._text.props(
                    f'dense outlined clearable debounce=300 maxlength={TEXT_MOST} aria-label="Client contains"'
                )
                self._state = ui.select(dict(STATES), value="", on_change=self._looked_for)
                self._state.props('dense outlined options-dense aria-label="State"')
            self._clients = Table(
                "Clients",
                (
                    Column("Client", is_wide=True),
                    Column("State"),
                    Column("Address"),
                    Column("MQTT"),
                    Column("Subscriptions", is_number=True),
                    Column("Queue", is_number=True),
                    Column("In flight", is_number=True),
                    Column("Dropped", is_number=True),
                ),
                widths="minmax(140px, 1.4fr) minmax(100px, 1fr) minmax(90px, auto) repeat(5, minmax(58px, auto))",
                empty="No clients.",
                hint="docs/howto/let-devices-in.md says how devices get in.",
                acts=[("Kick", self._kick)],
            )
            self._pager = Pager("clients", CLIENTS, self._ask)

    def _make_topics(self) -> None:
        with card("Topics") as head:
            with head:
                self._note = ui.label().classes("lt-sub")
            with ui.element("div").classes("lt-filters"):
                self._topic_text = ui.input(placeholder="Topic contains", on_change=self._ask)
                self._topic_text.props(
                    f'dense outlined clearable debounce=300 maxlength={TEXT_MOST} aria-label="Topic contains"'
                )
            self._tree = TopicTree(self._turn)

    # What is shown

    def update(self) -> None:
        """Show the picture as it is now."""
        picture = self._shell.picture
        nodes = nlargest(NODES, picture.nodes.values(), key=_traffic)
        if not self._node and nodes:
            self._node = nodes[0].node if nodes[0].clients else self._mqtt.here
            with self._picked:
                ui.timer(0, self._ask, once=True)
        now_ms = self._shell.clock.wall_ms()
        self._nodes.update(
            [
                node_line(
                    each,
                    picture.rates.latest(each.node),
                    judge(picture, each, now_ms),
                    is_picked=each.node == self._node,
                )
                for each in sorted(nodes, key=lambda each: each.node)
            ]
        )
        self._picked.set_visibility(bool(self._node))

    def _show_clients(self, told: MqttClients) -> None:
        self._clients.say_empty("No client is like that." if self._text.value or self._state.value else "No clients.")
        self._clients.update([client_line(each, told.at_ms) for each in told.clients])
        self._pager.update(len(told.clients), told.found)

    def _show_totals(self, told: MqttClients) -> None:
        rate_s = None
        if self._before is not None and told.at_ms > self._before[0] and told.received >= self._before[1]:
            rate_s = (told.received - self._before[1]) * 1000 / (told.at_ms - self._before[0])
        self._before = told.at_ms, told.received
        topics = self._topics
        known = None if topics is None else topics.known
        figures = totals(told, rate_s, topics, known)
        self._totals.update(
            {name: cell.main for name, cell in figures.items()}, {name: cell.sub for name, cell in figures.items()}
        )

    def _show_topics(self, page: TopicPage, now_ms: int) -> None:
        text = self._topic_text.value or ""
        lines = [
            topic_line(each, now_ms, is_open=each.topic in self._unfolded, whole_name=bool(text))
            for each in page.topics
        ]
        self._tree.update(lines, "No topic contains that." if text else "Nothing has passed yet.")
        shown = f"{count_text(len(lines))} of {count_text(page.total)} lines" if page.total > len(lines) else ""
        self._note.set_text(f"{shown}, narrow it down" if shown else f"at {self._node}")

    # What is asked

    async def _pick(self, node: str) -> None:
        self._node, self._before, self._topics = node, None, None
        self._unfolded.clear()
        self._pager.restart()
        self._clients.wait()
        self._tree.wait()
        self.update()
        await self._ask()

    async def _looked_for(self) -> None:
        self._pager.restart()
        await self._ask()

    async def _turn(self, topic: str) -> None:
        if topic in self._unfolded:
            for each in [each for each in self._unfolded if f"{each}/".startswith(f"{topic}/")]:
                del self._unfolded[each]
        else:
            self._unfolded[topic] = None
            while sum(map(len, self._unfolded)) > OPEN_CHARACTERS:
                del self._unfolded[next(iter(self._unfolded))]
        await self._ask()

    async def _kick(self, client: str) -> None:
        node = self._node
        with self._shell.body:
            text = f"Its connection at {node} is closed. Its session stays, and it may come back at once: change its login to keep it away."
            if not await confirmed("Kick", "negative", f"End the connection of {client[:80]}?", text):
                return
        try:
            await self._mqtt.kick(node, client)
        except LittoralError as error:
            tell_failure(str(error))
        else:
            tell_success(f"{client[:80]}: connection ended")
        await self._ask()

    async def _ask_here(self) -> None:
        if self._node == self._mqtt.here:
            await self._ask()

    async def _ask(self) -> None:
        node = self._node
        if not node:
            return
        wanted = self._text.value or "", self._state.value, self._pager.skip
        text, unfolded = self._topic_text.value or "", tuple(self._unfolded)
        try:
            told = await self._mqtt.clients(node, *wanted, CLIENTS)
            topics = await (self._mqtt.topics(node, text, TOPICS) if text else self._mqtt.tree(node, unfolded, TOPICS))
        except LittoralError as error:
            if node == self._node:
                self._problem.set_text(f"{node} does not say how its broker is: {error}")
            return
        if node != self._node:
            return
        self._problem.set_text("")
        self._topics = topics
        self._show_totals(told)
        if wanted == (self._text.value or "", self._state.value, self._pager.skip):
            self._show_clients(told)
        if (text, unfolded) == (self._topic_text.value or "", tuple(self._unfolded)):
            self._show_topics(topics, told.at_ms)


def _traffic(status: NodeStatus) -> tuple[int, int]:
    return status.clients, status.readings
