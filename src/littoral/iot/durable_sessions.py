"""The broker's disk: its sessions, queues and retained messages, in the node's store.

A message is one row however many sessions wait for it, with the numbers of those sessions in it; a session has the
number up to which it is done with all. So a message for a thousand sessions is one insert, and their acknowledgements
are one small update of each session for all that it has acknowledged in a while. Who still waits for a message is
counted in memory; its row goes with the last. See docs/adr/0035-mqtt-sessions-on-disk.md.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from littoral.core.errors import LittoralError
from littoral.core.intake import Intake
from littoral.core.order import Order
from littoral.iot.global_writes import write_travelling
from littoral.iot.message import Message
from littoral.iot.readings import append_readings, readings_stream
from littoral.iot.session_rows import (
    DONE,
    SENT,
    TAKEN,
    UNFINISHED,
    decode_message,
    decode_options,
    encode_message,
    encode_options,
)
from littoral.iot.session_store import (
    Change,
    Complete,
    EndSession,
    EndSubscription,
    EndWill,
    Enqueue,
    Forward,
    KeepSession,
    KeepSubscription,
    KeepWill,
    KeptMessage,
    KeptSession,
    KeptWill,
    Late,
    Passed,
    Receive,
    Released,
    Retain,
    Send,
    Taken,
    decode_recipients,
)
from littoral.iot.unwritten import Unwritten
from littoral.iot.waiting import Waiting
from littoral.store.committer import OrderedJob
from littoral.store.mqtt_writes import MqttChange, MqttStatement
from littoral.store.store import Store
from littoral.store.transaction import Transaction

log = logging.getLogger(__name__)

SOON_S = 0.1
"""How long what nobody waits for is collected."""
RETRY_S = 1.0
"""After a disk that took no writes."""

_END_OF_SESSION = (
    MqttStatement.END_SESSION,
    MqttStatement.END_WILL,
    MqttStatement.END_SUBSCRIPTIONS,
    MqttStatement.END_SENT,
    MqttStatement.END_RECEIVED,
)


class _Ended(Protocol):
    """Told what became of a job."""

    def __call__(self, *, failed: bool) -> None: ...


class DurableSessions:
    """Implements `littoral.iot.session_store.SessionStore`. `run` must be running."""

    def __init__(self, store: Store, intake: Intake) -> None:
        """intake: gets raw readings that come without changes."""
        self._store = store
        self._intake = intake
        self._session = 0
        self._message = 0
        self._waiting: dict[int, Waiting] = {}
        """Of the sessions that are kept."""
        self._waits: dict[int, int] = {}
        """How many sessions wait for a message."""
        self._unwritten = Unwritten()
        self._under_way: list[Unwritten] = []
        self._urgent = False
        """Whether something unwritten must be on disk no later than what is written next."""
        self._dirty = asyncio.Event()
        self._do: dict[type[Change], Callable[..., Iterable[MqttChange]]] = {
            KeepSession: self._keep_session,
            EndSession: self._end_session,
            KeepWill: self._keep_will,
            EndWill: self._end_will,
            KeepSubscription: self._keep_subscription,
            EndSubscription: self._end_subscription,
            Enqueue: self._enqueue,
            Send: self._send,
            Taken: self._taken,
            Complete: self._complete,
            Receive: self._receive,
            Released: self._released,
            Retain: self._retain,
            Forward: lambda change: (),  # These two are written to streams.
            Passed: lambda change: (),
        }

    # Numbers

    def next_session(self) -> int:
        """See SessionStore.next_session."""
        self._session += 1
        return self._session

    def next_message(self) -> int:
        """See SessionStore.next_message."""
        self._message += 1
        return self._message

    # Writing

    def write(self, changes: Sequence[Change], order: Order, records: Sequence[bytes] = ()) -> "asyncio.Future[object]":
        """See SessionStore.write."""
        if records and not changes:
            return self._intake.store(records, order)
        rows = [row for change in changes for row in self._do[type(change)](change)]
        travelling = [change for change in changes if isinstance(change, Forward | Passed)]
        adds = any(statement is MqttStatement.ADD_MESSAGE for statement, _ in rows)
        if self._urgent or any(isinstance(change, Complete) for change in changes):
            batch = self._begin_batch()
            rows += batch.changes()
        else:
            batch = None

        def job(tx: Transaction) -> None:
            if records:
                append_readings(tx, records)
            elif adds:
                tx.check_room(readings_stream(tx.node), "telemetry")
            tx.write_mqtt(rows)
            write_travelling(tx, travelling)

        def ended(*, failed: bool) -> None:
            if batch is not None:
                self._end_batch(batch, failed=failed)
            if failed:
                self._give_up(changes)

        return cast("asyncio.Future[object]", self._submit(OrderedJob(job, order), ended))

    def later(self, changes: Sequence[Late]) -> None:
        """See SessionStore.later."""
        for change in changes:
            if not isinstance(change, Retain) and change.session not in self._waiting:
                continue  # The session is over.
            for statement, values in self._do[type(change)](change):
                self._unwritten.add_row(_key(change), (statement, values))
        self._dirty.set()

    async def run(self) -> None:
        """Write what `later` was given, for as long as this is not cancelled."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(SOON_S)
            self._dirty.clear()
            try:
                await self.flush()
            except LittoralError as error:
                log.warning("cannot write what MQTT clients have acknowledged: %s; it is tried again", error)
                await asyncio.sleep(RETRY_S)

    async def finish(self) -> None:
        """Write it for the last time: what the disk does not take now, clients get again."""
        try:
            await self.flush()
        except LittoralError as error:
            log.warning("cannot write what MQTT clients have acknowledged: %s; they get it again", error)

    async def flush(self) -> None:
        """Write what `later` was given, now. Raises StorageError, LimitReached, Unavailable."""
        if self._unwritten:
            batch = self._begin_batch()
            rows = batch.changes()
            await asyncio.shield(
                self._submit(lambda tx: tx.write_mqtt(rows), lambda *, failed: self._end_batch(batch, failed=failed))
            )

    def _begin_batch(self) -> Unwritten:
        batch, self._unwritten, self._urgent = self._unwritten, Unwritten(), False
        self._under_way.append(batch)
        return batch

    def _end_batch(self, batch: Unwritten, *, failed: bool) -> None:
        self._under_way.remove(batch)
        if failed and batch:
            self._unwritten.take_back(batch)
            self._urgent = True
            self._dirty.set()

    def _submit(self, job: Callable[[Transaction], None], ended: "_Ended") -> "asyncio.Future[None]":
        try:
            written = self._store.submit(job)
        except LittoralError:
            ended(failed=True)
            raise
        written.add_done_callback(lambda done: ended(failed=done.cancelled() or done.exception() is not None))
        return written

    def _give_up(self, changes: Sequence[Change]) -> None:
        """They were not written. Nobody waits for their messages; but a session that is over must not come back."""
        for change in changes:
            if isinstance(change, Enqueue):
                for session in change.recipients.sessions:
                    self._complete(Complete(session, change.number))
            elif isinstance(change, EndSession):
                self._end_rows(change.session)
                self._dirty.set()

    def _end_rows(self, session: int) -> None:
        for statement in _END_OF_SESSION:
            self._unwritten.add_row((statement, session), (statement, (session,)))

    def _withdraw(self, change: Change) -> None:
        """What is written now is newer than what waits."""
        key = _key(change)
        for batch in (self._unwritten, *self._under_way):
            batch.withdraw(key)

    # Changes as rows

    def _keep_session(self, change: KeepSession) -> Iterable[MqttChange]:
        rows: list[MqttChange] = []
        waiting = self._waiting.get(change.session)
        if waiting is None:
            waiting = self._waiting[change.session] = Waiting(self._message + 1)
            # One of before, whose end the disk did not take yet.
            rows.append((MqttStatement.END_OTHERS, (change.client_id, change.session)))
        self._withdraw(change)
        values = (change.session, change.client_id, change.level, change.expiry_s, change.away_ms)
        rows.append((MqttStatement.KEEP_SESSION, (*values, change.sent_before, waiting.next)))
        return rows

    def _end_session(self, change: EndSession) -> Iterable[MqttChange]:
        waiting = self._waiting.pop(change.session, None)
        if waiting is None:
            return ()
        self._withdraw(change)
        self._withdraw(EndWill(change.session))
        for message in waiting.numbers:
            self._leave(message)
        return [(statement, (change.session,)) for statement in _END_OF_SESSION]

    def _keep_will(self, change: KeepWill) -> Iterable[MqttChange]:
        self._withdraw(change)
        values = (change.session, change.delay_s, change.due_ms, encode_message(change.will))
        return ((MqttStatement.KEEP_WILL, values),)

    def _end_will(self, change: EndWill) -> Iterable[MqttChange]:
        self._withdraw(change)
        return ((MqttStatement.END_WILL, (change.session,)),)

    def _keep_subscription(self, change: KeepSubscription) -> Iterable[MqttChange]:
        subscription = change.subscription
        options = encode_options(subscription) | UNFINISHED * change.unfinished
        values = (change.session, subscription.filter, options, change.identifier)
        return ((MqttStatement.KEEP_SUBSCRIPTION, values),)

    def _end_subscription(self, change: EndSubscription) -> Iterable[MqttChange]:
        return ((MqttStatement.END_SUBSCRIPTION, (change.session, change.filter)),)

    def _enqueue(self, change: Enqueue) -> Iterable[MqttChange]:
        number, sessions = change.number, self._waiting
        waits = 0
        for session in change.recipients.sessions:
            if (waiting := sessions.get(session)) is not None:
                waiting.add(number)
                waits += 1
        if not waits:
            return ()
        self._waits[number] = waits
        return ((MqttStatement.ADD_MESSAGE, (number, change.recipients.encoded, encode_message(change.message))),)

    def _send(self, change: Send) -> Iterable[MqttChange]:
        waiting = self._waiting.get(change.session)
        if waiting is None:
            return ()
        waiting.sent.add(change.message)
        return ((MqttStatement.SEND, (change.session, change.message, change.packet_id, SENT)),)

    def _taken(self, change: Taken) -> Iterable[MqttChange]:
        return ((MqttStatement.SET_STATE, (change.session, change.message, TAKEN)),)

    def _complete(self, change: Complete) -> Iterable[MqttChange]:
        session, message = change.session, change.message
        waiting = self._waiting.get(session)
        if waiting is None or not waiting.complete(message):
            return ()
        self._unwritten.sessions[session] = waiting
        last = self._leave(message)
        if message in waiting.sent:
            waiting.sent.remove(message)
            self._forget_sent(session, message, waiting, last=last)
        self._dirty.set()
        return ()

    def _forget_sent(self, session: int, message: int, waiting: Waiting, *, last: bool) -> None:
        """The exchange is over. Where the message stays, for others, its row must go on to say so, until the session is
        done with all before it."""
        self._urgent = True
        change: MqttChange = (MqttStatement.FORGET_SENT, (session, message))
        if not last and waiting.next <= message:
            waiting.has_done_rows = True
            change = (MqttStatement.SET_STATE, (session, message, DONE))
        self._unwritten.add_row(("sent", session, message), change)

    def _leave(self, message: int) -> bool:
        """One session less waits for a message; whether it was the last."""
        left = self._waits.get(message, 0) - 1
        if left > 0:
            self._waits[message] = left
            return False
        self._waits.pop(message, None)
        self._unwritten.messages.append(message)
        self._dirty.set()
        return True

    def _receive(self, change: Receive) -> Iterable[MqttChange]:
        return ((MqttStatement.RECEIVE, (change.session, change.packet_id)),)

    def _released(self, change: Released) -> Iterable[MqttChange]:
        return ((MqttStatement.RELEASE, (change.session, change.packet_id)),)

    def _retain(self, change: Retain) -> Iterable[MqttChange]:
        self._withdraw(change)
        if change.message is None:
            return ((MqttStatement.END_RETAINED, (change.topic,)),)
        return ((MqttStatement.RETAIN, (change.topic, encode_message(change.message))),)

    # Reading

    def load_retained(self) -> Iterable[tuple[str, bytes]]:
        """See SessionStore.load_retained."""
        return self._store.mqtt.retained()

    def load(self) -> list[KeptSession]:
        """See SessionStore.load."""
        stored = self._store.mqtt
        sessions: dict[int, KeptSession] = {}
        sent_before: dict[int, float] = {}
        self._session = self._message = 0
        for row in stored.sessions():
            sessions[row.number] = KeptSession(
                row.number, row.client_id, row.level, row.expiry_s, row.away_ms, [], [], set()
            )
            sent_before[row.number] = math.inf if row.away_ms is None else row.sent
            self._waiting[row.number] = Waiting(row.next)
            self._session = max(self._session, row.number)
            self._message = max(self._message, row.next - 1)
        self._load_parts(sessions)
        self._load_queues(sessions, sent_before)
        return list(sessions.values())

    def _load_parts(self, sessions: dict[int, KeptSession]) -> None:
        stored = self._store.mqtt
        over: set[int] = set()
        for each in stored.subscriptions():
            if (session := sessions.get(each.session)) is not None:
                session.subscriptions.append((decode_options(each.filter, each.options), each.identifier))
                if each.options & UNFINISHED:
                    session.unfinished.add(each.filter)
            else:
                over.add(each.session)
        for will in stored.wills():
            if (session := sessions.get(will.session)) is not None:
                session.will = KeptWill(decode_message(will.body), will.delay_s, will.due_ms)
            else:
                over.add(will.session)
        for number, packet_id in stored.received():
            if (session := sessions.get(number)) is not None:
                session.received.add(packet_id)
            else:
                over.add(number)
        for number in sorted(over):
            self._session = max(self._session, number)
            self._end_rows(number)

    def _load_queues(self, sessions: dict[int, KeptSession], sent_before: dict[int, float]) -> None:
        """sent_before: by session, see `KeepSession`."""
        sent = {(row.session, row.message): row for row in self._store.mqtt.sent()}
        for row in self._store.mqtt.messages():
            self._message = max(self._message, row.number)
            message: Message | None = None
            for to in decode_recipients(row.recipients):
                # Also of sessions that are no more: theirs are in use as long as a message names them.
                self._session = max(self._session, to.session)
                waiting = self._waiting.get(to.session)
                exchange = sent.pop((to.session, row.number), None)
                if waiting is None or row.number < waiting.next:
                    continue
                if exchange is not None and exchange.state == DONE:
                    waiting.has_done_rows = True
                    continue
                message = message or decode_message(row.body)
                kept = KeptMessage(row.number, message, to.qos, to.retain, to.identifiers)
                kept.sent = to.qos == 1 and row.number < sent_before[to.session]
                if exchange is not None:
                    kept.packet_id, kept.taken = exchange.packet_id, exchange.state == TAKEN
                    waiting.sent.add(row.number)
                sessions[to.session].queue.append(kept)
                waiting.add(row.number)
                self._waits[row.number] = self._waits.get(row.number, 0) + 1
            if message is None:
                self._unwritten.messages.append(row.number)
        for session, number in sent:
            self._session = max(self._session, session)
            self._unwritten.add_row(("sent", session, number), (MqttStatement.FORGET_SENT, (session, number)))
        if self._unwritten:
            self._dirty.set()


def _key(change: Change) -> tuple[str, int | str]:
    """Of the row that a change is of."""
    match change:
        case Retain():
            return "retained", change.topic
        case KeepWill() | EndWill():
            return "will", change.session
        case KeepSession() | EndSession():
            return "session", change.session
        case _:
            raise AssertionError(change)
