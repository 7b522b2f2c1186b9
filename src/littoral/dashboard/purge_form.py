"""Purging the HTTP cache from the page: of what, where, whether softly; asked once more, and what came of it."""

from collections.abc import Awaitable, Callable

from nicegui import ui

from littoral.core.errors import LittoralError
from littoral.dashboard.cache_cells import purge_consequence, purge_subject, purge_text
from littoral.dashboard.caches_api import CachesApi
from littoral.dashboard.notices import confirmed, tell_failure, tell_success
from littoral.dashboard.picture import Picture
from littoral.gateway.cache.purge import VALUE_CHARACTERS
from littoral.node.cache_api import PurgeOrder

KINDS = {"url": "URL", "tag": "Tag", "prefix": "Prefix", "all": "Everything"}
HINTS = {
    "url": "https://shop.example/page",
    "tag": "product-17",
    "prefix": "shop.example/images/",
    "all": "",
}
WAYS = {"hard": "Forget", "soft": "Let be stale"}


class PurgeForm:
    """Orders purges at this node, or at the one that was picked."""

    def __init__(
        self, picture: Picture, caches: CachesApi, box: ui.element, purged: Callable[[], Awaitable[None]]
    ) -> None:
        """box: what dialogs belong to. purged: called when something was purged."""
        self._picture = picture
        self._caches = caches
        self._box = box
        self._purged = purged
        with ui.element("div").classes("lt-form"):
            self._kind = ui.select(dict(KINDS), value="url", on_change=self._chosen)
            self._kind.props('dense outlined options-dense aria-label="What"')
            self._value = ui.input().props(f"dense outlined clearable maxlength={VALUE_CHARACTERS}")
            self._value.classes("lt-form-wide").on("keydown.enter", self._submit)
            self._where = ui.select({caches.here: ""}, value=caches.here)
            self._where.props('dense outlined options-dense aria-label="Where"')
            self._way = ui.toggle(dict(WAYS), value="hard").props("no-caps dense unelevated")
            button = ui.button("Purge", on_click=self._submit)
            button.props("outline no-caps dense color=negative").classes("lt-act")
        self._chosen()

    def show(self, picked: str) -> None:
        """Where purges can be ordered: at this node, and at the one that was picked."""
        places = {
            node: f"At {node}{' and below' if self._has_below(node) else ''}" for node in (self._caches.here, picked)
        }
        if places != self._where.options:
            value = self._where.value if self._where.value in places else self._caches.here
            self._where.set_options(places, value=value)

    def _has_below(self, node: str) -> bool:
        status = self._picture.nodes.get(node)
        return status is not None and bool(status.children)

    def _chosen(self) -> None:
        kind = self._kind.value
        self._value.set_visibility(kind != "all")
        self._value.props["placeholder"] = HINTS[kind]
        self._value.props["aria-label"] = KINDS[kind]
        self._value.update()

    async def _submit(self) -> None:
        kind, value = self._kind.value, (self._value.value or "").strip()
        if kind != "all" and not value:
            tell_failure(f"Say which: the {KINDS[kind] if kind == 'url' else kind} is missing.")
            return
        soft = self._way.value == "soft"
        match kind:
            case "url":
                order = PurgeOrder(url=value, soft=soft)
            case "tag":
                order = PurgeOrder(tag=value, soft=soft)
            case "prefix":
                order = PurgeOrder(prefix=value, soft=soft)
            case _:
                order = PurgeOrder(all=True, soft=soft)
        await self.order(order)

    async def order(self, order: PurgeOrder) -> None:
        """Ask, purge, and tell what came of it."""
        node = self._where.value
        has_below, is_far = self._has_below(node), node != self._caches.here
        with self._box:
            text = purge_consequence(order, node, has_below=has_below, is_far=is_far)
            if not await confirmed("Purge", "negative", f"Purge {purge_subject(order)}?", text):
                return
        try:
            outcome = await self._caches.purge(node, order)
        except LittoralError as error:
            tell_failure(str(error))
            return
        told = tell_failure if outcome.unconfirmed else tell_success
        told(purge_text(outcome, node, has_below=has_below))
        await self._purged()
