"""The apps of all nodes: of this one, and of those below by way of their inboxes."""

from littoral.dashboard.hub_api import HubApi
from littoral.node.app_messages import PATH, AppEntry, ExceptionPage


class AppsApi:
    """Raises everywhere: PeerUnreachable, Unavailable, and what the hub or the node answers."""

    def __init__(self, hub: HubApi, here: str) -> None:
        """here: the node whose hub is asked."""
        self._hub = hub
        self.here = here

    async def apps(self, node: str) -> list[AppEntry]:
        """Those that run there, with what is counted of them."""
        entries = await self._hub.ask(list[AppEntry], "GET", PATH, {}, self._at(node))
        return [each for each in entries if each.here is not None]

    async def exceptions(self, node: str, app: str) -> ExceptionPage:
        """What an app has raised there."""
        return await self._hub.ask(ExceptionPage, "GET", f"{PATH}/{app}/errors", {}, self._at(node))

    def _at(self, node: str) -> str:
        return "" if node == self.here else node
