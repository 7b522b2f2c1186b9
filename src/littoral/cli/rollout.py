"""Waiting until the nodes that an app is placed on run a revision."""

import time
from collections.abc import Iterator, Sequence

from littoral.cli.client import ApiClient
from littoral.cli.nodes import Nodes
from littoral.cli.output import console, printable
from littoral.core.errors import Conflict, Unavailable
from littoral.core.resources import App, placement_matches
from littoral.drivers.clock import SystemClock
from littoral.node.status import AppStatus, NodeStatus

LOOK_AGAIN_S = 0.2
PATH_END = "*"


class Rollout:
    """One revision of one app, on its way to nodes."""

    def __init__(self, api: ApiClient, app: App, revision: str) -> None:
        self._api = api
        self._app = app
        self._revision = revision
        self._said: dict[str, str] = {}
        """Node to what was printed of it last."""

    def wait(self, patience_s: float) -> list[str]:
        """Until all nodes that can be reached run it; returns where it answers. Says on the way how far they are.

        Raises: Conflict with the node's words where it does not start, Unavailable where it takes longer.
        """
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + patience_s
        while True:
            nodes = Nodes(self._api.get("/v1/nodes", list[NodeStatus]))
            placed = [status for status in nodes.all if self._is_for(status)]
            waiting = [status for status in placed if not self._is_done(status, reached=nodes.is_connected(status))]
            if not waiting:
                return list(self._urls(placed))
            if clock.monotonic_s() > deadline_s:
                names = ", ".join(status.node for status in waiting)
                raise Unavailable(
                    "deploy",
                    self._app.metadata.name,
                    f"after {patience_s:g} s revision {self._revision} does not run yet at {names}",
                    "It goes on; `littoral app list` shows how far it is",
                )
            time.sleep(LOOK_AGAIN_S)

    def _is_for(self, status: NodeStatus) -> bool:
        """Whether the app belongs there, as far as the report of a node says it."""
        if "gateway" not in status.addresses:
            return False
        placement = self._app.spec.placement
        if placement.labels:
            return self._app.metadata.name in status.apps
        return placement_matches(placement, tier=status.tier, node=status.node, labels={})

    def _is_done(self, status: NodeStatus, *, reached: bool) -> bool:
        if not reached:
            self._say(status, "not connected; it gets it when it comes back")
            return True
        found = status.apps.get(self._app.metadata.name)
        if found is None or found.revision != self._revision:
            self._say(status, "waiting for it")
            return False
        if found.running == self._revision:
            self._say(status, "runs it")
            return True
        if found.progress:
            known = not found.problem or found.progress in found.problem
            self._say(status, f"its code is {found.progress}" if known else found.problem)
            return False
        if found.problem:
            goes_on = f"; {found.running} goes on" if found.running else ""
            raise Conflict(
                "start",
                f"revision {self._revision} of {self._app.metadata.name} at {status.node}",
                f"{found.problem}{goes_on}",
                f"Correct it and deploy again, or `{self._way_back(found)}`",
            )
        self._say(status, "starting it")
        return False

    def _way_back(self, found: AppStatus) -> str:
        """The command that ends what does not start."""
        name = self._app.metadata.name
        return f"littoral rollback {name}" if found.running else f"littoral app delete {name}"

    def _say(self, status: NodeStatus, text: str) -> None:
        if self._said.get(status.node) != text:
            self._said[status.node] = text
            console().print(f"{status.node}: {printable(text)}")

    def _urls(self, placed: Sequence[NodeStatus]) -> Iterator[str]:
        for status in placed:
            for route in self._app.spec.routes[:1]:
                path = (route.path or "/").removesuffix(PATH_END)
                host = f" (Host: {route.host})" if route.host else ""
                yield f"http://{status.addresses['gateway']}{path}{host}"
