"""The MQTT broker of a node: its clients, what waits for them, and what passes by topic."""

from heapq import nlargest

from nicegui import ui

from littoral.core.errors import LittoralError
from littoral.dashboard.mqtt_api import OPEN_CHARACTERS, MqttApi
from littoral.dashboard.mqtt_cells import client_line, node_cells, topic_line, totals
from littoral.dashboard.node_picker import NODES, NodePicker, NodesTable
from littoral.dashboard.notices import confirmed, tell_failure, tell_success
from littoral.dashboard.pager import Pager
from littoral.dashboard.shell import UPDATE_S, Shell, card
from littoral.dashboard.table import Column, Table
from littoral.dashboard.texts import count_text
from littoral.dashboard.topic_tree import TopicTree
from littoral.dashboard.totals import Totals
from littoral.node.mqtt_messages import TEXT_MOST, MqttClients, TopicPage
from littoral.node.status import NodeStatus

CLIENTS = 10
TOPICS = 200
"""Lines of one page."""
TOTALS = ("Connected", "Messages/s", "Sessions away", "Queued", "Dropped", "Topics")
STATES = {"": "All", "connected": "Connected", "away": "Away", "waiting": "With a queue"}
TABLE = NodesTable(
    "Nodes with a broker",
    (Column("Clients", is_number=True), Column("Messages/s", is_number=True)),
    "minmax(90px, 1fr) repeat(2, minmax(100px, auto)) minmax(140px, 1fr)",
    "No nodes.",
)


class MqttPage:
    """One browser's view."""

    def __init__(self, shell: Shell, mqtt: MqttApi) -> None:
        self._shell = shell
        self._mqtt = mqtt
        self._unfolded: dict[str, None] = {}
        self._before: tuple[int, int] | None = None
        """When this node's broker was asked last, and what it had received."""
        self._topics: TopicPage | None = None
        self._nodes = NodePicker(shell, shell.body, TABLE, mqtt.here, picked=self._picked, ask=self._ask, say=self._say)
        with self._nodes.below:
            self._totals = Totals(TOTALS)
            self._problem = ui.label().classes("lt-problem-text")
            self._make_clients()
            self._make_topics()
        self.update()
        ui.timer(UPDATE_S, self.update)

    def _make_clients(self) -> None:
        with card("Clients and sessions") as head:
            with head:
                self._nodes.make_again_button()
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
            self._pager = Pager("clients", CLIENTS, self._nodes.ask)

    def _make_topics(self) -> None:
        with card("Topics") as head:
            with head:
                self._note = ui.label().classes("lt-sub")
            with ui.element("div").classes("lt-filters"):
                self._topic_text = ui.input(placeholder="Topic contains", on_change=self._nodes.ask)
                self._topic_text.props(
                    f'dense outlined clearable debounce=300 maxlength={TEXT_MOST} aria-label="Topic contains"'
                )
            self._tree = TopicTree(self._turn)

    # What is shown

    def update(self) -> None:
        """Show the picture as it is now."""
        picture = self._shell.picture
        nodes = nlargest(NODES, picture.nodes.values(), key=_traffic)
        first = nodes[0] if nodes else None
        self._nodes.update(
            sorted(nodes, key=lambda each: each.node),
            "" if first is None else first.node if first.clients else self._mqtt.here,
            lambda each: node_cells(each, picture.rates.latest(each.node)),
        )

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
        self._note.set_text(f"{shown}, narrow it down" if shown else f"at {self._nodes.node}")

    # What is asked

    def _picked(self) -> None:
        self._before, self._topics = None, None
        self._unfolded.clear()
        self._pager.restart()
        self._clients.wait()
        self._tree.wait()
        self.update()

    async def _looked_for(self) -> None:
        self._pager.restart()
        await self._nodes.ask()

    async def _turn(self, topic: str) -> None:
        if topic in self._unfolded:
            for each in [each for each in self._unfolded if f"{each}/".startswith(f"{topic}/")]:
                del self._unfolded[each]
        else:
            self._unfolded[topic] = None
            while sum(map(len, self._unfolded)) > OPEN_CHARACTERS:
                del self._unfolded[next(iter(self._unfolded))]
        await self._nodes.ask()

    async def _kick(self, client: str) -> None:
        node = self._nodes.node
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
        await self._nodes.ask()

    def _say(self, problem: str) -> None:
        self._problem.set_text(f"{self._nodes.node} does not say how its broker is: {problem}" if problem else "")

    async def _ask(self, node: str) -> None:
        wanted = self._text.value or "", self._state.value, self._pager.skip
        text, unfolded = self._topic_text.value or "", tuple(self._unfolded)
        told = await self._mqtt.clients(node, *wanted, CLIENTS)
        topics = await (self._mqtt.topics(node, text, TOPICS) if text else self._mqtt.tree(node, unfolded, TOPICS))
        if not self._nodes.is_picked(node):
            return
        self._topics = topics
        self._show_totals(told)
        if wanted == (self._text.value or "", self._state.value, self._pager.skip):
            self._show_clients(told)
        if (text, unfolded) == (self._topic_text.value or "", tuple(self._unfolded)):
            self._show_topics(topics, told.at_ms)


def _traffic(status: NodeStatus) -> tuple[int, int]:
    return status.clients, status.readings
