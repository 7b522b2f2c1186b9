"""The hub: everything of a node that is neither the HTTP data plane nor a function, wired together.

Nothing here does I/O of its own. The real process (`hub_process`) gives it real seams and serves its handlers; the
simulator gives it simulated ones.
"""

import asyncio
import logging
from collections.abc import Iterator
from functools import partial
from hashlib import blake2b

from littoral.core.errors import LittoralError
from littoral.core.limits import Limits
from littoral.core.names import StreamName
from littoral.core.resources import Namespace, Node, placement_matches
from littoral.core.resources.model import Parent
from littoral.core.tasks import Tasks
from littoral.fleet.desired import DESIRED, DesiredFold, newest
from littoral.fleet.expired_keys import ExpiredKeys
from littoral.fleet.global_relay import GlobalRelay
from littoral.fleet.inbox import is_inbox
from littoral.fleet.keyvalue import KeyValueService
from littoral.fleet.kv_calls import KvCalls
from littoral.fleet.kv_fold import KvFold
from littoral.fleet.purges import PURGES, PurgeFold
from littoral.fleet.registry import Registry
from littoral.fleet.snapshots import FoldSnapshots
from littoral.fleet.tombstones import Tombstones
from littoral.functions.hub.kv_bindings import KvBindings
from littoral.iot.bridge_access import BridgeAccess
from littoral.iot.broker import Broker
from littoral.iot.durable_sessions import DurableSessions
from littoral.iot.rates import Rates
from littoral.iot.rule_engine import RuleEngine
from littoral.node.app_api import AppApi
from littoral.node.app_logs import AppLogs
from littoral.node.binding_api import BindingApi
from littoral.node.blob_parts import BlobParts
from littoral.node.cache_api import CacheApi
from littoral.node.certificate_keeper import CertificateKeeper
from littoral.node.code_source import CodeBlobs
from littoral.node.desired_state import Apps, DesiredState, Routes
from littoral.node.enrolment import (
    establish_identity,
)
from littoral.node.global_topics import GlobalMessages
from littoral.node.hub_metrics import (
    broker_metrics,
    kv_metrics,
    limit_metrics,
    status_metrics,
    store_metrics,
    subscription_metrics,
    topic_metrics,
)
from littoral.node.inboxes import Inboxes
from littoral.node.join_api import JoinApi
from littoral.node.kv_api import KvApi
from littoral.node.letter_api import LetterApi
from littoral.node.letter_desk import LetterDesk
from littoral.node.mqtt_access import MqttAccess
from littoral.node.mqtt_api import MqttApi
from littoral.node.mqtt_authenticator import AppAuthenticator
from littoral.node.operator_api import OperatorApi
from littoral.node.operator_messages import ResourceEntry
from littoral.node.peer_api import PeerApi
from littoral.node.public_streams import PublicStreams
from littoral.node.purge_desk import PurgeDesk
from littoral.node.retriers import Retriers
from littoral.node.seams import Seams
from littoral.node.secret_parts import SecretParts
from littoral.node.signing import ParentSigner, RootSigner, Signer
from littoral.node.status_report import ProcessFacts, StatusReport
from littoral.node.stream_desk import StreamDesk
from littoral.node.subtree import Subtree
from littoral.node.tree_time import in_tree_time, telling_time
from littoral.security.ca import CertificateAuthority, fingerprint_of
from littoral.security.enrolment import ParentFacts
from littoral.security.identity import Identity
from littoral.security.operator import load_or_create_operator_token
from littoral.security.tokens import TokenSigner, TokenVerifier
from littoral.store.blobs import Blobs, open_blobs
from littoral.store.folder import Folder
from littoral.store.opening import open_store
from littoral.store.retention import Retention
from littoral.store.store import Store
from littoral.streams.link_budget import LinkBudget
from littoral.streams.parent_link import ParentLink
from littoral.streams.peer_server import PeerServer
from littoral.streams.server import StreamServer
from littoral.streams.subscriptions.service import Subscriptions
from littoral.streams.ttl import SendTtl
from littoral.streams.uplink import Uplink
from littoral.telemetry.metrics import Family, Metrics
from littoral.wire.peer import Member

ANY_ADDRESS = ("0.0.0.0", "[::]")  # noqa: S104 -- compared with, not bound to
"""What a listener is bound to that takes connections at every address; nobody can connect to it by that name."""
_log = logging.getLogger("littoral.hub")


class Hub:
    """One node. Made by `open_hub`, begun by `start`, ended by `stop`."""

    def __init__(
        self,
        config: Node,
        seams: Seams,
        limits: Limits,
        store: Store,
        identity: Identity,
        authority: CertificateAuthority | None,
        facts: ProcessFacts,
        blobs: Blobs,
    ) -> None:
        """authority: the CA, at the root. blobs: those beside `store`."""
        self.config = config
        self.name = config.metadata.name
        self.seams = seams
        self.limits = limits
        self.store = store
        self.blobs = blobs
        self.identity = identity
        self.started_ms = seams.clock.wall_ms()
        self.failures: list[BaseException] = []
        """Background work that ended with an unexpected exception: a fault of ours, and the process must end."""
        self.failed = asyncio.Event()
        self._code_needed = asyncio.Event()
        self._facts = facts
        self._tasks = Tasks(self.note_failure)
        self.operator_token = load_or_create_operator_token(seams.disk, seams.random)
        self.desired = DesiredState(store, config, self.warn)
        parent = identity.facts.parent or ""
        self.registry = self._make_registry(parent)
        own = Member(self.name, config.spec.tier, config.metadata.labels)
        self.subtree = Subtree(own, store, self.registry, self.desired.namespace, lambda: self.peers.connected)
        self._desired_fold = DesiredFold(self.name, parent)
        self.kv_fold = KvFold(self.name, parent)
        self._purge_fold = PurgeFold(parent)
        relay = GlobalRelay(own, parent, limits)
        self._snapshots = FoldSnapshots(store, self.kv_fold, self._desired_fold, self._purge_fold, relay)
        self.purges = PurgeDesk(store, seams.clock, parent)
        self.uplink = self._make_uplink()
        self.expired_keys = ExpiredKeys(store, seams.clock, self.warn)
        self.tombstones = Tombstones(store, self.uplink.outbox if self.uplink else None, seams.clock, limits, self.warn)
        calls = KvCalls(self.uplink.call) if self.uplink else None
        self.keyvalue = KeyValueService(store, self.desired.namespace, self._holds, calls, seams.clock, limits)
        self.rules = RuleEngine(store, limits, seams.clock.wall_ms, self.note_failure)
        self._mqtt_sessions = DurableSessions(store, self.rules)
        # From a secret that is there: a number drawn for it would be one less for whatever a seed repeats.
        self.bridge_pass_word = blake2b(self.operator_token.encode(), person=b"bridges").hexdigest()
        """See BridgeAccess."""
        self.certificate = CertificateKeeper(self)
        self.metrics = Metrics()
        self.broker = self._make_broker()
        self.global_messages = GlobalMessages(self, relay)
        retriers = Retriers(store, self.kv_fold, self.rules, limits, relay)
        self.dead_letters = LetterDesk(store, limits, retriers, seams.clock.wall_ms, self.warn)
        self.retention = Retention(store, seams.clock, limits, self.warn, seams.offload)
        self.peers = PeerServer(store, limits, self.registry, self._snapshots)
        self.peers.relay_port = int(facts.addresses().get("relay", "0").rpartition(":")[2])
        self.inboxes = Inboxes(self)
        self.blob_parts = self._make_blob_parts()
        self.secrets = SecretParts(self, self._tasks)
        self.code = CodeBlobs(store, blobs, self.blob_parts.fetcher, limits)
        self.app_logs = AppLogs(seams.clock, limits)
        self.subscriptions = Subscriptions(
            store, config.spec.streams, seams.webhooks, seams.disk, seams.clock, seams.random, limits
        )
        self.report = StatusReport(self, facts)
        self._add_metrics()
        self._make_apis(authority)

    # Parts

    def _add_metrics(self) -> None:
        add = self.metrics.add
        add(lambda: status_metrics(self.report.now()))
        add(lambda: store_metrics(self.store.counters))
        add(lambda: subscription_metrics(self.subscriptions.state()))
        add(self._kv_metrics)
        add(self._broker_metrics)
        add(lambda: limit_metrics(self.limits))
        add(self.inboxes.metrics)
        add(self.global_messages.metrics)
        add(self.blob_parts.metrics)

    def _make_registry(self, parent: str) -> Registry:
        seams, namespace = self.seams, self.desired.namespace
        changed, gone = self._subtree_changed, self._end_session
        topics = self.desired.topic_group
        return Registry(self.store, parent, namespace, seams.clock, seams.random, self.limits, changed, gone, topics)

    def _broker_metrics(self) -> Iterator[Family]:
        yield from broker_metrics(self.broker.counters)
        yield from topic_metrics(self.broker.values, len(self.broker.watches))

    def _make_broker(self) -> Broker:
        seams, spec = self.seams, self.config.spec.mqtt
        self.authenticator = None
        if spec.authenticator is not None:
            clock, random = seams.clock, seams.random
            self.authenticator = AppAuthenticator(spec.authenticator, clock, random, self.limits, self.warn)
            self.metrics.add(self.authenticator.families)
        others = MqttAccess(spec, seams.random, seams.clock, self.warn, self.authenticator, self.limits)
        access = BridgeAccess(others, self.bridge_pass_word)
        sessions, reject_new = self._mqtt_sessions, spec.full_queue == "reject-new"
        rates = Rates(spec.connection_rate, spec.message_rate)
        broker = Broker(
            self.rules, seams.clock, self.limits, access, self._tasks, sessions, reject_new=reject_new, rates=rates
        )
        broker.restore()
        self.rules.attach(broker.publish, broker.routes_changed)
        return broker

    def _make_uplink(self) -> Uplink | None:
        parent = self.config.spec.parent
        if parent is None:
            return None
        facts = self.identity.facts
        assert facts.parent is not None
        signer = TokenSigner(self.identity.key, self.name, self.seams.clock, self.seams.random)

        def headers(method: str, path: str) -> dict[str, str]:
            token = signer.sign(audience=str(facts.parent), method=method, path=path)
            return {"authorization": f"Bearer {token}"}

        clock, limits = self.seams.clock, self.limits
        budget = self._link_budget(parent)
        link = ParentLink(self.seams.peers(self.identity), facts.parent, parent.url, headers, clock, limits, budget)
        return Uplink(
            self.store,
            link,
            self.subtree,
            self._snapshots,
            clock,
            self.seams.random,
            limits,
            self.blobs,
            SendTtl(parent.ttl, clock.wall_ms),
            _is_essential,
        )

    def _make_blob_parts(self) -> BlobParts:
        uplink = self.uplink
        link, sender = (uplink.link, uplink.blobs) if uplink is not None else (None, None)
        return BlobParts(self.blobs, link, sender, self.seams, self.limits, self._tasks)

    def _link_budget(self, parent: Parent) -> LinkBudget | None:
        if parent.bandwidth is None:
            return None
        return LinkBudget(parent.bandwidth, self.store, self.seams.clock, _is_essential)

    def _make_apis(self, authority: CertificateAuthority | None) -> None:
        spec, clock = self.config.spec, self.seams.clock
        signer: Signer
        if authority is not None:
            signer = RootSigner(authority, self.registry, clock, self.seams.random)
        else:
            assert self.uplink is not None
            signer = ParentSigner(self.uplink.call)
        self.peer_api = PeerApi(
            TokenVerifier(self.name, self.registry.child, clock, self.limits),
            self.peers,
            self.keyvalue,
            self.registry,
            signer,
            self.blob_parts.server,
            self.secrets.keys,
        )
        self.join_api = JoinApi(
            self.name, self.identity.ca_pem, ParentFacts(node=self.name), self.registry, signer, clock
        )
        self.answer_peer = telling_time(self.peer_api.handle, clock)
        self.answer_join = telling_time(self.join_api.handle, clock)
        self.streams = StreamServer(self.store, clock, self.seams.random, self.limits)
        self.public_streams = PublicStreams(self.streams, spec.streams, self.subscriptions.api)
        self.app_api = AppApi(
            self.code,
            self.store,
            lambda: self.desired.wanted,
            self._facts.apps,
            self.app_logs,
            clock,
            self.limits,
            is_root=spec.parent is None,
        )
        self.mqtt_api = MqttApi(self.broker)
        self.operator_api = OperatorApi(
            self.store,
            self.operator_token,
            is_root=spec.parent is None,
            status=self.report.now,
            nodes=self.report.nodes,
            metrics=self.metrics.text,
            create_token=self.create_token if spec.listen.join else None,
            resources=self._resources,
            kv=KvApi(self.keyvalue, clock),
            bindings=BindingApi(self.keyvalue, KvBindings(self.keyvalue, lambda _: (), clock, self.limits)),
            secrets=self.secrets.api,
            letters=LetterApi(self.dead_letters),
            apps=self.app_api,
            code=self.code,
            blobs=self.blob_parts.api,
            caches=CacheApi(self.purges),
            mqtt=self.mqtt_api,
            inbox=self.inboxes.api,
            commands=self.inboxes.commands,
            stream_desk=StreamDesk(self.store, self.limits, clock.wall_ms),
            streams=self.streams.handle,
            subscriptions=self.subscriptions.api,
        )

    # Life

    def start(self, apps: Apps | None, routes: Routes | None = None) -> None:
        """Begin all background work; apps, routes: what runs functions and tells gateways of routes, where there is such."""
        clock = self.seams.clock
        desired = Folder(self.store, self._desired_fold, self.limits, clock.wall_ms, self._desired_changed)
        self._tasks.start(desired.run(), "fold desired")
        self._tasks.start(Folder(self.store, self.kv_fold, self.limits, clock.wall_ms).run(), "fold kv")
        self.desired.attach(self.rules, apps, routes)
        if self.uplink is not None:
            fold = self._purge_fold
            purges = Folder(self.store, fold, self.limits, clock.wall_ms, lost=fold.lost)
            self._tasks.start(purges.run(), "fold purges")
            self._tasks.start(self.uplink.run(), "uplink")
            if self.uplink.budget is not None:
                self._tasks.start(self.uplink.budget.keep(self.warn), "link budget")
        if self.purges.is_restored:
            self._tasks.start(self.purges.begin_anew(self.warn), "purges after a restore")
        self._tasks.start(self.retention.run(), "retention")
        self._tasks.start(self._mqtt_sessions.run(), "mqtt sessions")
        self._tasks.start(self.blobs.run(), "blobs")
        self._tasks.start(self._forget_code(), "code of apps")
        self._tasks.start(self.tombstones.run(), "tombstones")
        self._tasks.start(self.expired_keys.run(), "expired keys")
        self._tasks.start(self.dead_letters.run(), "dead letters")
        self._tasks.start(self.streams.run(self.warn), "expiry")
        self._tasks.start(self.subscriptions.run(self._tasks.start, self.warn), "subscriptions")
        self._tasks.start(self.store.writer_ended(), "store writer")
        if self.store.checkpointer is not None:
            self._tasks.start(self.store.checkpointer.run(self.seams.offload), "checkpoints")
        self._tasks.start(self.report.run(), "status")
        for name, work in (*self.certificate.work(), *self.inboxes.work(), *self.global_messages.work()):
            self._tasks.start(work, name)

    async def stop(self) -> None:
        """End background work, commit what is queued, close the store."""
        self.broker.close()
        await self._mqtt_sessions.finish()
        await self._tasks.stop()
        await self.rules.stop()
        await self.store.close()

    def abandon(self) -> None:
        """As when the process dies: all work ends where it is, and nothing is closed or told."""
        self._tasks.abandon()
        self.rules.abandon()
        self.store.abandon()

    def warn(self, text: str) -> None:
        """Tell the operator, in the log, of something that needs no restart."""
        _log.warning("%s: %s", self.name, text)
        self.inboxes.warnings.note(text)

    # What the parts ask

    def _desired_changed(self) -> None:
        self.desired.refresh()
        self.global_messages.refresh()
        self.peers.review()
        self._code_needed.set()
        self.app_logs.forget({key.removeprefix("App/") for key in self.desired.wanted if key.startswith("App/")})

    async def _forget_code(self) -> None:
        """Drop the blobs of apps' code that nothing needs any more, now and whenever the desired state has changed."""
        while True:
            try:
                await self.code.forget(lambda: self.desired.wanted)
            except LittoralError as error:
                self.warn(str(error))
            self._code_needed.clear()
            await self._code_needed.wait()

    def _subtree_changed(self, child: str) -> None:
        self.peers.review(child)
        if self.uplink is not None:
            self.uplink.greet_again()

    def _end_session(self, child: str) -> None:
        self.peers.end_session(child)

    def _kv_metrics(self) -> Iterator[Family]:
        return kv_metrics(
            self.tombstones.forgotten,
            self.kv_fold.refused_entries,
            self._snapshots.dropped_entries,
            self.expired_keys.swept,
        )

    def _holds(self, namespace: Namespace) -> bool:
        """Whether a namespace is held or read through here: it is placed here or below, or this is the root, the system
        of record."""
        if self.config.spec.parent is None:
            return True
        return any(
            placement_matches(namespace.spec.placement, tier=member.tier, node=member.node, labels=member.labels)
            for member in self.subtree.members()
        )

    def _resources(self) -> list[ResourceEntry]:
        # At the root whoever has changed something finds it changed, though the fold follows a moment later.
        wanted = newest(self.store) if self.config.spec.parent is None else self.desired.wanted
        entries = []
        for key, each in sorted(wanted.items()):
            kind, _, name = key.partition("/")
            entries.append(ResourceEntry(kind, name, each.revision))
        return entries

    async def create_token(self, node: str, ttl_ms: int) -> str:
        """A join token for a child. Raises InvalidInput, LimitReached."""
        address = self._facts.addresses()["join"]
        host, _, port = address.rpartition(":")
        if host in ANY_ADDRESS and self.config.spec.advertise:
            address = f"{self.config.spec.advertise[0]}:{port}"
        join_url = f"https://{address}"
        return await self.registry.tokens.create(node, join_url, fingerprint_of(self.identity.ca_pem), ttl_ms)

    def note_failure(self, error: BaseException) -> None:
        """Background work ended with an exception that is no error of the tree: the process must end."""
        _log.critical("%s: background work failed", self.name, exc_info=error)
        self.failures.append(error)
        self.failed.set()


def _is_essential(name: StreamName) -> bool:
    """Whether a stream of the parent's is followed before the others, and also when the budget is spent."""
    return name.path in (DESIRED, PURGES) or is_inbox(name)


async def open_hub(config: Node, seams: Seams, facts: ProcessFacts, token: str | None = None) -> Hub:
    """Open or create the node's data, and give it an identity (enrolling with `token` if it has none). The hub answers
    from now on; its background work begins with `start`.

    Raises: StartupError, StorageError, IncompatibleStore, and as `establish_identity`.
    """
    spec, limits = config.spec, Limits(config.spec.limits)
    if spec.parent is not None:
        seams = in_tree_time(seams)
    writer = seams.writer(limits)
    store = open_store(
        config.metadata.name,
        seams.disk,
        seams.clock,
        seams.random,
        limits,
        writer,
        seams.store_key,
        spec.storage,
        seams.spill,
    )
    try:
        identity, authority = await establish_identity(config, token, seams)
        blobs = await open_blobs(
            store,
            seams.disk,
            limits,
            seams.clock,
            seams.random,
            seams.offload,
            identity.facts.parent or "",
            partial(_log.warning, "%s: %s", store.node),
            encrypted=seams.store_key is not None,
        )
        return Hub(config, seams, limits, store, identity, authority, facts, blobs)
    except BaseException:
        await store.close()
        raise
