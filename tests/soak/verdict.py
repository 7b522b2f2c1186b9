"""Whether everything that was acknowledged is where it belongs: asked of the nodes once all has healed."""

import json
import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from littoral.cli.local.held import pairs, tails, write_records
from littoral.cli.local.observer import streams_of
from littoral.cli.streams import next_offset, stream_path
from littoral.core.errors import LittoralError, NotFound
from littoral.core.names import parse_stream_name
from littoral.iot.readings import READINGS
from littoral.node.local_tree import LocalTree
from littoral.node.operator_client import OperatorClient
from littoral.node.status import STATUS
from littoral.store.dead_letters import DEAD_LETTERS
from littoral.store.replica import FORMER_STREAMS
from littoral.wire.durable_streams import format_offset
from tests.soak.devices import Device
from tests.soak.expected import wrong_journal, wrong_keys, wrong_readings, wrong_windows
from tests.soak.journals import Journal
from tests.soak.keys import NAMESPACE, Keys
from tests.soak.pages import Page
from tests.soak.report import Report
from tests.soak.schedule import NODES, ROOT, SITES
from tests.soak.workload import seconds

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[bool]]
WINDOWS = "windows"
_READING = re.compile(rb'\{"device":"([^"]+)","n":(\d+),')


class Verdict:
    """On one tree and its clients."""

    def __init__(
        self,
        tree: LocalTree,
        devices: Sequence[Device],
        keys: Sequence[Keys],
        journals: Sequence[Journal],
        pages: Sequence[Page],
        report: Report,
    ) -> None:
        self._tree = tree
        self._devices = devices
        self._keys = keys
        self._journals = journals
        self._pages = pages
        self._report = report
        self._waiting_for = ""

    async def reach(self, until: Until) -> None:
        """Wait until all has arrived, then compare. What is wrong is in the report."""
        self._count()
        for client in (*self._keys, *self._journals, *self._pages):
            self._wrong(client.violations)
        began_s = seconds()
        for what, condition in (
            ("everything has arrived", self._has_arrived),
            ("all nodes hold the same keys and values", self._is_kv_same),
        ):
            if not await until(condition):
                self._report.violated(f"it did not come to be that {what}: {self._waiting_for}")
        self._report.say(f"all queues are empty after {seconds() - began_s:.1f} s")
        await self._check_states()
        await self._check_readings()
        await self._check_windows()
        await self._check_journals()
        await self._check_keys()

    def _count(self) -> None:
        clients = (*self._devices, *self._keys, *self._journals)
        self._report.counts |= {
            "readings acknowledged": sum(len(device.acknowledged) for device in self._devices),
            "key-value writes acknowledged": sum(keys.acknowledged for keys in self._keys),
            "key-value reads compared": sum(keys.read for keys in self._keys),
            "appends acknowledged": sum(journal.acknowledged for journal in self._journals),
            "attempts that clients had to repeat": sum(client.retries for client in clients),
            "pages answered": sum(page.answered for page in self._pages),
            "pages answered while the WAN was disturbed": sum(page.answered_while_cut for page in self._pages),
            "pages refused by an undisturbed site, and answered when asked again": sum(
                page.failed for page in self._pages
            ),
        }

    def _wrong(self, found: Sequence[str]) -> None:
        for each in found:
            self._report.violated(each)

    # Waiting

    async def _has_arrived(self) -> bool:
        try:
            self._waiting_for = await self._missing()
        except LittoralError as error:
            self._waiting_for = str(error)
        return not self._waiting_for

    async def _missing(self) -> str:
        """What is still on its way, in words."""
        for node in NODES:
            client = self._tree.clients[node]
            status = await client.status()
            if status.link is not None and not status.link.connected:
                return f"{node} is not connected: {status.link.last_error}"
            if behind := [name for name, rule in status.rules.items() if rule.behind]:
                return f"{node} folds {', '.join(behind)}"
            own, above = await tails(client, node), await tails(self._tree.clients[ROOT], node)
            # Reports on itself never end.
            own.pop(f"{node}/{STATUS}", None)
            if late := [
                f"{name} ends at {above.get(name, 0)} of {end}"
                for name, end in own.items()
                if above.get(name, 0) != end
            ]:
                return f"of {node} the root's copy of {late[0]}"
        return ""

    async def _is_kv_same(self) -> bool:
        try:
            tables = {node: await pairs(client, NAMESPACE) for node, client in self._tree.clients.items()}
        except LittoralError as error:
            self._waiting_for = str(error)
            return False
        differing = [node for node, table in tables.items() if table != tables[ROOT]]
        self._waiting_for = f"{', '.join(differing)} and {ROOT} differ"
        return not differing

    # Comparing

    async def _check_states(self) -> None:
        for node, client in self._tree.clients.items():
            status = await client.status()
            for stream, blocked in (status.link.blocked if status.link else {}).items():
                self._report.violated(f"{stream} is blocked at {node}: {blocked.reason}")
            problems = {name: rule.problem for name, rule in status.rules.items()}
            problems |= {name: app.problem for name, app in status.apps.items()}
            for name, problem in problems.items():
                if problem:
                    self._report.violated(f"{name} has a problem at {node}: {problem}")
            if status.dead_letters:
                self._report.violated(f"{node} has {status.dead_letters} dead letters: {await self._letters(node)}")
            for entry in await streams_of(client):
                if parse_stream_name(entry.name).path.startswith(FORMER_STREAMS):
                    self._report.violated(f"{node} has set a stream aside: {entry.name}")

    async def _letters(self, node: str) -> str:
        letters = await self._records(self._tree.clients[node], f"{node}/{DEAD_LETTERS}")
        return "; ".join(str(letter.get("reason"))[:200] for letter in letters[:3])

    async def _check_readings(self) -> None:
        for site in SITES:
            stored = await self._stored(site)
            for device in self._devices:
                if device.site == site:
                    self._wrong(wrong_readings(device.name, device.acknowledged, stored.get(device.name, set())))

    async def _stored(self, site: str) -> dict[str, set[int]]:
        """The numbers that the site's raw stream holds, by device."""
        client, name = self._tree.clients[site], f"{site}/{READINGS}"
        found: dict[str, set[int]] = {}
        offset, following = -1, 0
        while following > offset:
            offset = following
            try:
                answer = await client.call("GET", stream_path(name), query={"offset": format_offset(offset)})
            except NotFound:
                return found
            for device, n in _READING.findall(answer.body):
                found.setdefault(device.decode(), set()).add(int(n))
            following = next_offset(answer)
        return found

    async def _check_windows(self) -> None:
        for site in SITES:
            held = await self._records(self._tree.clients[ROOT], f"{site}/{WINDOWS}")
            self._report.counts[f"windows of {site} at the root"] = len(held)
            published = {device.topic: device.published for device in self._devices if device.site == site}
            self._wrong(wrong_windows(site, published, held))

    async def _check_journals(self) -> None:
        for journal in self._journals:
            held = await self._records(self._tree.clients[ROOT], journal.stream)
            self._wrong(wrong_journal(journal.stream, journal.acknowledged, [entry["n"] for entry in held]))

    async def _check_keys(self) -> None:
        tables = {node: await pairs(client, NAMESPACE) for node, client in self._tree.clients.items()}
        own = {key: value for each in self._keys for key, value in each.held.items()}
        shared: dict[str, list[bytes | None]] = {}
        for each in self._keys:
            for key, value in each.said.items():
                shared.setdefault(key, []).append(value)
        self._wrong(wrong_keys(tables, own, shared))

    async def _records(self, client: OperatorClient, stream: str) -> list[dict[str, Any]]:
        path = self._tree.state_dir / "held.jsonl"
        await write_records(client, stream, path)
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def damages(database: Path) -> list[str]:
    """What SQLite finds wrong with a store that nobody has open."""
    try:
        connection = sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)
        try:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return [str(error)]
    return [] if found == ["ok"] else found
