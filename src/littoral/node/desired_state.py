"""Bringing this node to its desired state: rules, apps and namespaces placed here run here, and nothing else."""

from collections.abc import Callable, Mapping
from typing import Protocol

from littoral.core.errors import LittoralError
from littoral.core.resources import App, GlobalTopics, Namespace, Node, Origin, Route, Rule, placement_matches
from littoral.core.resources.part import Placement
from littoral.fleet.desired import Wanted, wanted
from littoral.store.store import Store


class Rules(Protocol):
    """Runs rules (littoral.iot.rule_engine)."""

    def apply(self, wanted: Mapping[str, tuple[Rule, str]]) -> None:
        """Run exactly these."""
        ...


class Apps(Protocol):
    """Runs apps (littoral.node.apps)."""

    def apply(self, wanted: Mapping[str, Wanted]) -> None:
        """Run exactly these."""
        ...


class Routes(Protocol):
    """Has routes served (littoral.node.placed_routes)."""

    def apply(self, routes: Mapping[str, Wanted], origins: Mapping[str, Wanted]) -> None:
        """Serve exactly these."""
        ...


class DesiredState:
    """The folded desired state, and what of it belongs here."""

    def __init__(self, store: Store, config: Node, failed: Callable[[str], None]) -> None:
        """failed: told in words of a desired state that cannot be read."""
        self._store = store
        self._config = config
        self._failed = failed
        self._namespaces: dict[str, Namespace] = {}
        self.topics: dict[str, GlobalTopics] = {}
        """All global topics, by name."""
        self.wanted: dict[str, Wanted] = {}
        """All of it, by "Kind/name"."""
        self._rules: Rules | None = None
        self._apps: Apps | None = None
        self._routes: Routes | None = None
        self._read()

    def attach(self, rules: Rules, apps: Apps | None, routes: Routes | None) -> None:
        """From now on keep these in step; apps and routes are None where there are no gateways."""
        self._rules, self._apps, self._routes = rules, apps, routes
        self._spread()

    def namespace(self, name: str) -> Namespace | None:
        """The desired namespace of a name, or None."""
        return self._namespaces.get(name)

    def topic_group(self, name: str) -> GlobalTopics | None:
        """The desired global topics of a name, or None."""
        return self.topics.get(name)

    def is_here(self, placement: Placement) -> bool:
        """Whether something so placed belongs on this node."""
        return placement_matches(
            placement,
            tier=self._config.spec.tier,
            node=self._config.metadata.name,
            labels=self._config.metadata.labels,
        )

    def refresh(self) -> None:
        """The folded state has changed."""
        self._read()
        self._spread()

    def _read(self) -> None:
        try:
            self.wanted, unread = wanted(self._store)
        except LittoralError as error:
            self._failed(str(error))
            return
        for each in unread:
            self._failed(each)
        resources = [each.resource for each in self.wanted.values()]
        self._namespaces = {each.metadata.name: each for each in resources if isinstance(each, Namespace)}
        topics = [each for each in resources if isinstance(each, GlobalTopics)]
        self.topics = {each.metadata.name: each for each in sorted(topics, key=lambda each: each.metadata.name)}

    def _spread(self) -> None:
        rules: dict[str, tuple[Rule, str]] = {}
        apps: dict[str, Wanted] = {}
        routes: dict[str, Wanted] = {}
        origins: dict[str, Wanted] = {}
        for each in self.wanted.values():
            resource = each.resource
            if isinstance(resource, Rule) and self.is_here(resource.spec.placement):
                rules[resource.metadata.name] = (resource, each.revision)
            elif isinstance(resource, App) and self.is_here(resource.spec.placement):
                apps[resource.metadata.name] = each
            elif isinstance(resource, Route) and self.is_here(resource.spec.placement):
                routes[resource.metadata.name] = each
            elif isinstance(resource, Origin) and self.is_here(resource.spec.placement):
                origins[resource.metadata.name] = each
        if self._rules is not None:
            self._rules.apply(rules)
        if self._apps is not None:
            self._apps.apply(apps)
        if self._routes is not None:
            self._routes.apply(routes, origins)
