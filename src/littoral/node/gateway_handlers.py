"""Who serves which route in a gateway process. What has not changed with a new configuration goes on with what it knows:
connections, health, and fetches under way."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from littoral.core.asset_rules import FILE_BYTES, AssetRules, asset_rules
from littoral.core.clock import Clock
from littoral.core.gateway_limits import GATEWAY_CACHE_BYTES
from littoral.core.limits import Limits
from littoral.core.random import Random
from littoral.core.resources.app_assets import Assets
from littoral.core.resources.web import Cache, OriginSpec, RouteSpec
from littoral.core.tasks import Tasks
from littoral.drivers.static_directory import StaticDirectory
from littoral.gateway.app_asking import FunctionAsk, FunctionCall
from littoral.gateway.app_assets import AppAssets
from littoral.gateway.app_calls import AppCalls, AppSender
from littoral.gateway.cache.cache import RouteCache
from littoral.gateway.cache.meters import CacheMeter
from littoral.gateway.cache.sender import Sender
from littoral.gateway.gateway import Handler
from littoral.gateway.meters import Meters, ShieldMeter
from littoral.gateway.origin_calls import OriginCalls, OriginSender
from littoral.gateway.origins.caller import OriginCaller
from littoral.gateway.origins.checks import Checks
from littoral.gateway.origins.meters import PoolMeter
from littoral.gateway.origins.transport import OriginTransport
from littoral.gateway.shield import Shield, ShieldedSender
from littoral.gateway.static_files import StaticFiles
from littoral.node.cache_orders import CacheOrders
from littoral.node.gateway_config import GatewayConfig
from littoral.node.gateway_routes import cache_settings, is_shielded, origin_pool, origin_steers
from littoral.wire.client_facts import IP_COUNTRY

AFFINITY_KEY_BYTES = 32


class _Origin(Struct):
    """An origin in use."""

    spec: OriginSpec
    caller: OriginCaller
    tasks: Tasks
    """Its checks."""


class _Served(Struct):
    """A route in use."""

    spec: RouteSpec
    origin: OriginSpec | None
    assets: Assets | None
    limits: dict[str, int]
    handler: Handler


class GatewayHandlers:
    """The handlers of one gateway process."""

    def __init__(
        self,
        transport: OriginTransport,
        call: FunctionCall,
        ask: FunctionAsk,
        clock: Clock,
        random: Random,
        tasks: Tasks,
        meters: Meters,
        orders: CacheOrders,
        shield: Shield,
    ) -> None:
        """call, ask: reach apps. tasks: those of the process. orders: which have the cache, and purge it. shield: the way to the
        parent."""
        self._shield = shield
        self._node = ""
        self._orders = orders
        self.tier = orders.tier
        self._transport = transport
        self._call = call
        self._ask = ask
        self._clock = clock
        self._random = random
        self._tasks = tasks
        self._meters = meters
        self._affinity_key = random.token_bytes(AFFINITY_KEY_BYTES)
        """Until a configuration says which."""
        self._origins: dict[str, _Origin] = {}
        self._served: dict[str, _Served] = {}
        self._country_header = ""
        self._is_located = False
        self._assets: dict[str, Assets | None] = {}
        self._asset_rules: dict[str, AssetRules] = {}
        """By the directory of an app's files, once somebody has asked for one of them."""

    def configure(self, config: GatewayConfig, limits: Limits) -> Mapping[str, Handler]:
        """The handlers for a configuration, by what its routes lead to."""
        self.tier.resize(limits[GATEWAY_CACHE_BYTES])
        self._take_key(config.affinity_key)
        is_located = bool(config.geo_databases)
        told = config.node, IP_COUNTRY if is_located else config.country_header, is_located
        if told != (self._node, self._country_header, self._is_located):
            self._node, self._country_header, self._is_located = told
            self._served = {}
        before, self._origins = self._origins, {}
        for name, spec in config.origins.items():
            known = before.pop(name, None)
            if known is None or known.spec != spec:
                known = self._origin(name, spec, config.region)
            self._origins[name] = known
        for gone in before.values():
            gone.tasks.abandon()
        self._assets = {function.app: function.assets for function in config.functions}
        directories = {assets.directory for assets in self._assets.values() if assets is not None}
        self._asset_rules = {path: rules for path, rules in self._asset_rules.items() if path in directories}
        handlers: dict[str, Handler] = {
            f"app/{app}": self._with_assets(app, AppCalls(self._sender(app, limits))) for app in sorted(self._assets)
        }
        self._orders.use(route.cache.key for route in config.web.values() if route.cache is not None)
        routes, self._served = self._served, {}
        for name, route in config.web.items():
            origin = config.origins[route.origin] if route.origin is not None else None
            served = routes.get(name)
            assets = self._assets.get(route.app) if route.app is not None else None
            known_by = (route, origin, assets, config.limits)
            if served is None or (served.spec, served.origin, served.assets, served.limits) != known_by:
                served = _Served(*known_by, self._handler(name, route, limits))
            self._served[name] = served
            handlers[f"route/{name}"] = served.handler
        return handlers

    def _take_key(self, key: bytes) -> None:
        """What was made with another one does not go on."""
        if key and key != self._affinity_key:
            self._affinity_key = key
            for origin in self._origins.values():
                origin.tasks.abandon()
            self._origins, self._served = {}, {}

    def look(self) -> None:
        """Bring the meters of all origins up to date."""
        for origin in self._origins.values():
            origin.caller.look()

    def _origin(self, name: str, spec: OriginSpec, region: str) -> _Origin:
        settings, meter = origin_pool(name, spec), PoolMeter()
        self._meters.pools[name] = meter
        key = self._affinity_key
        caller = OriginCaller(settings, self._transport, self._clock, self._random, meter, key=key, region=region)
        tasks = Tasks(self._tasks.failed)
        Checks(caller.pool, self._transport, self._random, tasks).start()
        return _Origin(spec, caller, tasks)

    def _handler(self, name: str, route: RouteSpec, limits: Limits) -> Handler:
        if route.app is not None:
            answers = self._sender(route.app, limits, route.strip_prefix or "")
            if route.cache is None or not route.cache.enabled:
                return self._with_assets(route.app, AppCalls(answers), route.strip_prefix or "")
            cached = AppCalls(answers, self._cache(name, route.cache, limits, answers, route.app))
            return self._with_assets(route.app, cached, route.strip_prefix or "")
        if route.static is not None:
            directory = StaticDirectory(Path(route.static.directory))
            return StaticFiles(directory, route.static, route.strip_prefix or "", self._clock)
        assert route.origin is not None, name
        origin = self._origins[route.origin]
        steers = origin_steers(route.origin, origin.spec)
        sender = OriginSender(origin.caller, origin.spec.host or "", route.strip_prefix or "", steers)
        spec = route.cache if route.cache is not None else Cache()
        if not spec.enabled:
            return OriginCalls(sender, None, limits)
        asked: Sender = sender
        if is_shielded(spec, origin.spec):
            meter = self._meters.shields.setdefault(name, ShieldMeter())
            asked = ShieldedSender(name, sender, self._shield, self._clock, meter)
        return OriginCalls(sender, self._cache(name, spec, limits, asked), limits)

    def _sender(self, app: str, limits: Limits, strip_prefix: str = "") -> AppSender:
        header, is_located = self._country_header, self._is_located
        return AppSender(app, self._call, limits, self._meters, strip_prefix, header, self._ask, is_located=is_located)

    def _with_assets(self, app: str, calls: AppCalls, strip_prefix: str = "") -> Handler:
        """The app behind the files that travel with it."""
        assets = self._assets.get(app)
        if assets is None:
            return calls
        path, directory = assets.directory, StaticDirectory(Path(assets.directory))

        def rules() -> AssetRules:
            found = self._asset_rules.get(path)
            if found is None:
                found = asset_rules(lambda name: directory.start_of(name, FILE_BYTES))
                # What is not there yet says nothing of what will be.
                if Path(path).is_dir():
                    self._asset_rules[path] = found
            return found

        return AppAssets(calls, directory, path, assets, strip_prefix, self._clock, rules)

    def _cache(self, name: str, spec: Cache, limits: Limits, sender: Sender, app: str = "") -> RouteCache:
        meter = self._meters.caches.setdefault(name, CacheMeter())
        settings = cache_settings(spec, limits, self._node, app)
        return RouteCache(settings, self.tier, sender, self._clock, self._tasks, meter, self._orders.disk)
