"""The node's report on itself: for its API, for the stream `status`, and as metrics."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

import littoral
from littoral.core.errors import LittoralError
from littoral.core.lanes import LANES, Lane
from littoral.core.names import StreamName
from littoral.core.resources import parse_duration_ms
from littoral.core.undecodable import UNDECODABLE
from littoral.iot.readings import readings_stream
from littoral.node.status import (
    STATUS,
    STATUS_BYTES,
    AppStatus,
    BudgetStatus,
    GatewayStatus,
    LaneStatus,
    LinkStatus,
    NodeStatus,
    RouteStatus,
    RuleStatus,
    SpillStatus,
    SubscriptionStatus,
)
from littoral.store.dead_letters import DEAD_LETTERS
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.blocked import NOT_TAKEN
from littoral.streams.link_budget import LinkBudget
from littoral.streams.uplink import Uplink

if TYPE_CHECKING:
    from littoral.node.hub import Hub


class ProcessFacts(Protocol):
    """What only the process knows of itself; the simulator says zero."""

    def memory_bytes(self) -> int:
        """Resident memory."""
        ...

    def apps(self) -> Mapping[str, AppStatus]:
        """The apps placed here."""
        ...

    def routes(self) -> Mapping[str, RouteStatus]:
        """The routes placed here."""
        ...

    def gateway(self) -> GatewayStatus | None:
        """The gateways, where they have reported."""
        ...

    def addresses(self) -> Mapping[str, str]:
        """Listener -> host:port."""
        ...


class StatusReport:
    """Reads a hub's parts."""

    def __init__(self, hub: "Hub", facts: ProcessFacts) -> None:
        self._hub = hub
        self._facts = facts

    async def run(self) -> None:
        """Append to the stream `status` at the configured interval, until cancelled."""
        hub = self._hub
        name = StreamName(hub.name, STATUS)
        interval_s = parse_duration_ms(hub.config.spec.status_interval) / 1000
        while True:
            try:
                # Reading the parts reads the store, which may be damaged, or a step ahead of what is published.
                record = msgspec.json.encode(self.now())

                def report(tx: Transaction, record: bytes = record) -> None:
                    tx.open_stream(name, lane="state", retention_bytes=STATUS_BYTES)
                    tx.append(name, [record], essential=True)

                await hub.store.submit(report)
            except LittoralError as error:
                hub.warn(str(error))
            # A parent of ten thousand that all report every few seconds would do little else.
            least_s = hub.uplink.spread_s if hub.uplink is not None else 0.0
            await asyncio.sleep(max(interval_s, least_s))

    def now(self) -> NodeStatus:
        """The node at this moment."""
        hub = self._hub
        clock = hub.seams.clock
        dead = hub.store.stream(StreamName(hub.name, DEAD_LETTERS))
        return NodeStatus(
            node=hub.name,
            tier=hub.config.spec.tier,
            version=littoral.__version__,
            at_ms=clock.wall_ms(),
            started_ms=hub.started_ms,
            lineage=hub.store.lineage,
            link=self._link(),
            lanes=self._lanes(),
            children=[child.node for child in hub.registry.children()],
            connected=hub.peers.connected,
            readings=hub.broker.counters.received,
            clients=hub.broker.statistics().connections,
            rules=dict(self._rules()),
            apps=dict(self._facts.apps()),
            routes=dict(self._facts.routes()),
            streams=len(hub.store.heads()),
            dead_letters=hub.dead_letters.open_count(),
            memory_bytes=self._facts.memory_bytes(),
            addresses=dict(self._facts.addresses()),
            dead_letters_ever=dead.next if dead else 0,
            blobs=hub.blob_parts.status(),
            not_taken={
                verdict: count
                for verdict in NOT_TAKEN.values()
                if (count := hub.store.counters.verdicts.get(verdict, 0))
            },
            restored_ms=[former.restored_ms for former in hub.store.former],
            subscriptions=self._subscriptions(),
            spill=self._spill(),
            gateway=self._facts.gateway(),
        )

    def nodes(self) -> list[NodeStatus]:
        """This node now, and the last report of each node below it."""
        return [self.now(), *self._below()]

    def _below(self) -> Iterator[NodeStatus]:
        # Not of one that was expelled or moved, whose reports are still here.
        for node in sorted(self._hub.registry.below()):
            info = self._hub.store.stream(StreamName(node, STATUS))
            if info is not None and info.count:
                status = self._reported(info)
                if status is not None and status.node == node:
                    yield status

    def _reported(self, info: StreamInfo) -> NodeStatus | None:
        """A node's last report; None for one that this version cannot read, which must not hide the other nodes."""
        try:
            return msgspec.json.decode(self._last(info), type=NodeStatus)
        except (*UNDECODABLE, LittoralError, IndexError) as error:
            self._hub.warn(f"cannot read the status of {info.name.origin}: {error}")
            return None

    def _last(self, info: StreamInfo) -> bytes:
        return self._hub.store.read(info.name, info.next - 1, 1)[-1].records()[-1]

    def _subscriptions(self) -> SubscriptionStatus | None:
        state = self._hub.subscriptions.state()
        return SubscriptionStatus(state.total, state.failing, state.failures) if state.total else None

    def _link(self) -> LinkStatus | None:
        uplink = self._hub.uplink
        if uplink is None:
            return None
        state = uplink.state
        return LinkStatus(
            parent=uplink.outbox.parent,
            connected=state.connected,
            since_ms=state.since_ms,
            last_error=state.last_error,
            sessions=state.sessions,
            shipped_records=state.shipped_records,
            shipped_bytes=state.shipped_bytes,
            followed_records=state.followed_records,
            bootstraps=state.bootstraps,
            snapshot_chunks=state.snapshot_chunks,
            refused_chunks=state.refused_chunks,
            resumed_snapshots=state.resumed_snapshots,
            put_aside_records=state.put_aside_records,
            fetched_back_records=state.fetched_back_records,
            blocked={str(name): blocked for name, blocked in uplink.outbox.blocked.items()},
            held={str(name): reason for name, reason in uplink.holds.reasons.items()},
            budget=_budget(uplink.budget) if uplink.budget is not None else None,
        )

    def _lanes(self) -> dict[Lane, LaneStatus]:
        uplink = self._hub.uplink
        if uplink is None:
            return {}
        return {lane: _lane(uplink, lane) for lane in LANES}

    def _spill(self) -> SpillStatus | None:
        hub = self._hub
        if hub.store.bounds.spill is None:
            return None
        files, size = hub.store.spilled.size()
        return SpillStatus(files, size, hub.retention.spilled_bytes, hub.retention.spill_refused)

    def _rules(self) -> Iterator[tuple[str, RuleStatus]]:
        hub = self._hub
        readings = hub.store.stream(readings_stream(hub.name))
        tail = readings.next if readings else 0
        for name, runner in hub.rules.runners.items():
            counters = runner.rule.counters
            yield (
                name,
                RuleStatus(
                    counters.readings,
                    counters.windows,
                    counters.alerts,
                    counters.duplicates,
                    counters.late,
                    counters.undecodable,
                    tail - runner.offset,
                    runner.failed,
                ),
            )
        for name, reason in hub.rules.refused.items():
            yield name, RuleStatus(0, 0, 0, 0, 0, 0, 0, reason)


def _lane(uplink: Uplink, lane: Lane) -> LaneStatus:
    depth = uplink.outbox.depth(lane)
    flow = uplink.flow.of(lane, depth.records)
    expired = uplink.outbox.expired[lane]
    return LaneStatus(depth.records, depth.oldest_ms, flow.records_s, flow.bytes_s, flow.empty_s, depth.bytes, expired)


def _budget(budget: LinkBudget) -> BudgetStatus:
    now, terms = budget.state, budget.terms
    exhausted = now.spent_until_ms is not None
    return BudgetStatus(
        state="exhausted" if exhausted else "waiting" if now.waiting else "free",
        until_ms=now.spent_until_ms,
        stops=terms.stops,
        rate=terms.rate,
        used=now.used,
        most=terms.most,
        carried_bytes=now.carried_bytes,
        waited_s=now.waited_s,
    )
