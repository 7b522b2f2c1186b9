"""Whoever looks at a site's page: it must be answered as long as nothing disturbs the site itself, whatever its WAN does."""

import asyncio

from littoral.core.errors import LittoralError
from littoral.core.http import Request
from littoral.core.transport import Transport
from littoral.node.local_tree import LocalTree
from tests.soak.disturbances import Disturbances
from tests.soak.workload import Client, seconds

PAGE = "/soak"
EVERY_S = 0.25
ANSWER_S = 15.0
SILENT_MOST_S = 30.0
"""Without one answer, at an undisturbed site. Far above what a loaded machine takes."""


class Page(Client):
    """Asks one site's gateway again and again."""

    def __init__(self, site: str, tree: LocalTree, transport: Transport, disturbances: Disturbances) -> None:
        super().__init__(f"page of {site}")
        self.site = site
        self.answered = 0
        self.answered_while_cut = 0
        self.failed = 0
        self._tree = tree
        self._transport = transport
        self._disturbances = disturbances
        self._silent_since_s: float | None = None

    async def step(self) -> None:
        asked_s = seconds()
        is_answered = await has_page(self._tree, self._transport, self.site)
        if is_answered:
            self.answered += 1
            self.answered_while_cut += self._disturbances.is_cut_off(self.site, asked_s)
        if is_answered or self._disturbances.was_disturbed(self.site, asked_s):
            self._silent_since_s = None
        else:
            self._failed(asked_s)
        await asyncio.sleep(EVERY_S)

    def _failed(self, asked_s: float) -> None:
        self.failed += 1
        if self._silent_since_s is None:
            self._silent_since_s = asked_s
        silent_s = seconds() - self._silent_since_s
        if silent_s > SILENT_MOST_S:
            self.violations.append(f"{self.site} did not answer {PAGE} for {silent_s:.0f} s, and nothing disturbed it")
            self._silent_since_s = None


async def has_page(tree: LocalTree, transport: Transport, node: str) -> bool:
    """Whether a node answers its page now."""
    assert tree.file is not None
    try:
        answer = await transport.request(tree.file.nodes[node].gateway, Request("GET", PAGE), ANSWER_S)
    except LittoralError:
        return False
    return answer.status == 200
