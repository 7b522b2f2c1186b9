"""The state machine of subscriptions, as transactions. What each does happens as a whole, synced, or not at all.

At most one wake of a subscription is in flight (`record.Wake` draws its phases). A generation is used once: whoever calls
with a token of an earlier one, or after the lease is over, is told FENCED and changes nothing. A cursor never goes back.
"""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from littoral.core.errors import Forbidden, InvalidInput, NotFound
from littoral.core.limits import WEBHOOK_BODY_BYTES, Limits
from littoral.core.names import StreamName, parse_stream_name
from littoral.security.webhook_key import WakeRef
from littoral.store.transaction import Transaction
from littoral.streams.access import AccessList
from littoral.streams.subscriptions.record import (
    Ledger,
    Link,
    Members,
    Owner,
    Phase,
    Root,
    Subscription,
    Wake,
    Woken,
    acked_of,
    incarnation,
)
from littoral.streams.subscriptions.rights import may
from littoral.wire.durable_streams import parse_offset
from littoral.wire.subscriptions import LEASE_MOST_MS, Ack, Refused, WakeCall

RETRY_MOST_MS = 72_000
"""The protocol's 60 s and 20 % of jitter."""
IDLE_DELAY_MS = 1000
"""Before a receiver that said it is done, and moved no cursor, is woken again for the same."""
ERROR_CHARACTERS = 300
WAKE_OVERHEAD_BYTES = 1024
ENTRY_OVERHEAD_BYTES = 192
"""Of a webhook's body: what is there besides streams, and what a stream takes besides its path."""


def reached(at_ms: int, now_ms: int, most_ms: int = max(LEASE_MOST_MS, RETRY_MOST_MS)) -> bool:
    """Whether a moment has come. One that is further ahead than any is set was set by a clock that went back since."""
    return at_ms <= now_ms or at_ms > now_ms + most_ms


class Wakes:
    """The transactions of one node's subscriptions. Each method is (part of) one job."""

    def __init__(self, node: str, limits: Limits, access: AccessList) -> None:
        self._node = node
        self._limits = limits
        self._access = access

    def may_read(self, owner: Owner, name: StreamName) -> bool:
        """Whether who made a subscription may be told of a stream."""
        return may(owner, self._access, "read", name)

    # Begun by the node

    def begin(self, tx: Transaction, key: str, candidates: Iterable[StreamName], wake_id: str) -> bool:
        """Begin a wake, unless there is one or nothing to do; whether one was begun. candidates: streams that may be ahead
        of their cursors. A pull-wake's event is written with it: raises NotFound, Conflict, Forbidden, StorageFull."""
        ledger = Ledger(tx)
        subscription = ledger.subscription(key)
        if subscription is None or ledger.wake(key) is not None or not reached(subscription.not_before_ms, tx.now_ms):
            return False
        streams = self._woken(ledger, subscription, candidates)
        if not streams:
            return False
        subscription = replace(subscription, generation=subscription.generation + 1)
        if subscription.kind == "webhook":
            wake = Wake(id=wake_id, phase="sending", due_ms=tx.now_ms, streams=streams)
        else:
            told = self._tell(tx, subscription, streams)
            wake = Wake(id=wake_id, phase="announced", due_ms=0, streams=streams, told=told)
            subscription = _well(subscription)
        ledger.put(subscription)
        ledger.put_wake(key, wake)
        return True

    def tell_again(self, tx: Transaction, key: str) -> None:
        """Write the event of a wake that nobody has claimed once more, if the wake stream no longer has it."""
        ledger = Ledger(tx)
        subscription, wake = ledger.subscription(key), ledger.wake(key)
        if subscription is None or wake is None or wake.phase != "announced":
            return
        if not self.is_told(tx, subscription, wake):
            told = self._tell(tx, subscription, wake.streams)
            ledger.put(_well(subscription))
            ledger.put_wake(key, replace(wake, told=told, due_ms=0))

    def is_told(self, tx: Transaction, subscription: Subscription, wake: Wake) -> bool:
        """Whether the wake stream (still) has the event of the wake."""
        assert subscription.wake_stream is not None
        info = tx.stream(subscription.wake_stream)
        if info is None or wake.told is None:
            return False
        stream, offset = wake.told
        return stream == incarnation(info, self._node) and offset >= info.first

    def sent(self, tx: Transaction, key: str, wake_id: str, *, done: bool) -> None:
        """A receiver has taken the wake. done: and processed all that it was told of."""
        ledger = Ledger(tx)
        subscription, wake = ledger.subscription(key), ledger.wake(key)
        if subscription is None or wake is None or wake.id != wake_id:
            return
        ledger.put(_well(subscription))
        if done:
            for name, woken in wake.streams.items():
                self._move(ledger, key, parse_stream_name(name), woken.stream, woken.tail)
            ledger.put_wake(key, None)
        elif wake.phase == "sending":
            ledger.put_wake(key, _held(wake, subscription, tx.now_ms))

    def failed(self, tx: Transaction, key: str, wake_id: str, error: str, delay_ms: int) -> None:
        """Nobody could be woken; try again after so long. wake_id: of the wake that could not be sent or told of; empty
        where none could be begun."""
        ledger = Ledger(tx)
        subscription, wake = ledger.subscription(key), ledger.wake(key)
        if subscription is None:
            return
        if wake_id != ("" if wake is None else wake.id) or (wake is not None and wake.phase == "held"):
            return  # What failed is over by now.
        at_ms = tx.now_ms + delay_ms
        ledger.put(
            replace(
                subscription,
                failures=subscription.failures + 1,
                error=error[:ERROR_CHARACTERS],
                failing_since_ms=subscription.failing_since_ms or tx.now_ms,
                not_before_ms=at_ms if wake is None else subscription.not_before_ms,
            )
        )
        if wake is not None:
            ledger.put_wake(key, replace(wake, due_ms=at_ms))

    def expire(self, tx: Transaction, key: str, wake_id: str) -> bool:
        """End a wake whose lease is over; whether it was."""
        ledger = Ledger(tx)
        wake = ledger.wake(key)
        if wake is None or wake.id != wake_id or wake.phase != "held" or not reached(wake.due_ms, tx.now_ms):
            return False
        ledger.put_wake(key, None)
        return True

    # Asked by workers

    def claim(
        self, tx: Transaction, key: str, worker: str, candidates: Sequence[StreamName], wake_id: str
    ) -> tuple[Subscription, Wake] | None:
        """Take the wake of a pull-wake subscription, or what would be one; None where there is nothing to do. Raises
        Refused."""
        ledger = Ledger(tx)
        subscription = self._existing(ledger, key)
        if subscription.kind != "pull-wake":
            raise Refused("INVALID_REQUEST", f"subscription {subscription.id} is no pull-wake subscription")
        wake = ledger.wake(key)
        if wake is not None and wake.phase == "held":
            if not reached(wake.due_ms, tx.now_ms):
                raise Refused(
                    "ALREADY_CLAIMED",
                    f"{wake.holder} has claimed it",
                    current_holder=wake.holder,
                    generation=subscription.generation,
                )
            wake = None
        told = [] if wake is None else [parse_stream_name(name) for name in wake.streams]
        streams = self._woken(ledger, subscription, dict.fromkeys([*told, *candidates]))
        if not streams:
            ledger.put_wake(key, None)  # What was told of is gone; whatever comes next is told of anew.
            return None
        if wake is None:
            subscription = replace(subscription, generation=subscription.generation + 1)
            wake = Wake(id=wake_id, phase="held", due_ms=0, streams=streams)
        subscription = _well(subscription)
        wake = replace(_held(wake, subscription, tx.now_ms), holder=worker, streams=streams)
        ledger.put(subscription)
        ledger.put_wake(key, wake)
        return subscription, wake

    def progress(
        self, tx: Transaction, ref: WakeRef, call: WakeCall, candidates: Sequence[StreamName], kind: str
    ) -> bool:
        """A callback or an ack; whether there is more to do. Raises Refused, and nothing has changed then."""
        ledger = Ledger(tx)
        subscription, wake = self._current(ledger, ref, call, kind)
        moved = [self._acked(ledger, subscription, ack) for ack in call.acks]
        wake = replace(wake, progress=wake.progress or any(moved))
        if not call.done:
            ledger.put(_well(subscription))
            ledger.put_wake(subscription.key, _held(wake, subscription, tx.now_ms))
            return False
        rests = kind == "webhook" and not wake.progress
        not_before_ms = tx.now_ms + IDLE_DELAY_MS if rests else 0
        ledger.put(replace(_well(subscription), not_before_ms=not_before_ms))
        ledger.put_wake(subscription.key, None)
        told = [parse_stream_name(name) for name in wake.streams]
        return bool(self._woken(ledger, subscription, [*told, *candidates]))

    def release(self, tx: Transaction, ref: WakeRef, call: WakeCall) -> None:
        """Whoever claimed a wake gives it back. Raises Refused."""
        ledger = Ledger(tx)
        subscription, _ = self._current(ledger, ref, call, "pull-wake")
        ledger.put_wake(subscription.key, None)

    # Parts

    def _existing(self, ledger: Ledger, key: str) -> Subscription:
        subscription = ledger.subscription(key)
        if subscription is None:
            raise not_found(key)
        return subscription

    def _current(self, ledger: Ledger, ref: WakeRef, call: WakeCall, kind: str) -> tuple[Subscription, Wake]:
        """The wake that a genuine token is of. Raises Refused, FENCED unless it is the present one."""
        subscription = self._existing(ledger, ref.subscription)
        if subscription.kind != kind:
            raise Refused("INVALID_REQUEST", f"subscription {subscription.id} is a {subscription.kind} subscription")
        wake = ledger.wake(subscription.key)
        present = None if wake is None else (subscription.generation, wake.id)
        over = wake is not None and wake.phase == "held" and reached(wake.due_ms, ledger.tx.now_ms)
        if (
            wake is None
            or wake.phase == "announced"
            or over
            or present != (ref.generation, ref.wake_id)
            or present != (call.generation, call.wake_id)
        ):
            raise Refused("FENCED", f"wake {call.wake_id[:80]} is over", generation=subscription.generation)
        return subscription, wake

    def _woken(self, ledger: Ledger, subscription: Subscription, candidates: Iterable[StreamName]) -> dict[str, Woken]:
        """Of the candidates those that have something to do, as many as one body holds."""
        root, members = Root(subscription.root, self._node), Members(subscription, self._node)
        left = self._limits[WEBHOOK_BODY_BYTES] - WAKE_OVERHEAD_BYTES
        woken: dict[str, Woken] = {}
        for name in candidates:
            info = ledger.tx.stream(name)
            link = ledger.link(subscription.key, name)
            if info is None or not (link.explicit or members.matched(name)):
                continue
            acked = acked_of(link, info, self._node)
            if info.next <= acked or not self.may_read(subscription.owner, name):
                continue
            left -= len(root.path(name)) + ENTRY_OVERHEAD_BYTES
            if left < 0 and woken:
                self._limits.hit(WEBHOOK_BODY_BYTES)
                break
            woken[str(name)] = Woken(incarnation(info, self._node), acked, info.next, link.explicit)
        return woken

    def _tell(self, tx: Transaction, subscription: Subscription, streams: dict[str, Woken]) -> tuple[str, int]:
        name = subscription.wake_stream
        assert name is not None
        info = tx.stream(name)
        operation = "write a wake event to"
        if info is None:
            raise NotFound(operation, str(name), "there is no such stream on this node", "Create it")
        if not may(subscription.owner, self._access, "append", name):
            raise Forbidden(operation, str(name), "who made the subscription may not append to it any more")
        event = {
            "type": "wake",
            "subscription_id": subscription.id,
            "stream": Root(subscription.root, self._node).path(parse_stream_name(next(iter(streams)))),
            "generation": subscription.generation,
            "ts": tx.now_ms,
        }
        span = tx.append(name, [msgspec.json.encode(event)])
        return incarnation(info, self._node), span.first

    def _acked(self, ledger: Ledger, subscription: Subscription, ack: Ack) -> bool:
        """Move one cursor; whether it moved. Raises Refused."""
        root = Root(subscription.root, self._node)
        try:
            name = root.stream(ack.stream)
        except InvalidInput as error:
            raise Refused("INVALID_OFFSET", str(error)) from error
        info, link = ledger.tx.stream(name), ledger.link(subscription.key, name)
        if info is None or not (link.explicit or Members(subscription, self._node).matched(name)):
            raise Refused("INVALID_OFFSET", f"{ack.stream} is no stream of subscription {subscription.id}")
        offset, acked = parse_offset(ack.offset), acked_of(link, info, self._node)
        if offset is None or not acked <= offset <= info.next:
            cause = f"{ack.offset[:80]!r} is no offset of {ack.stream} from what is acked to its end"
            raise Refused("INVALID_OFFSET", cause)
        return self._move(ledger, subscription.key, name, incarnation(info, self._node), offset)

    def _move(self, ledger: Ledger, key: str, name: StreamName, stream: str, offset: int) -> bool:
        """Move a cursor on, if the stream is still the one that was meant; never back."""
        info, link = ledger.tx.stream(name), ledger.link(key, name)
        if info is None or incarnation(info, self._node) != stream or acked_of(link, info, self._node) >= offset:
            return False
        ledger.put_link(key, name, Link(stream, offset, link.explicit))
        return True


def not_found(key: str) -> Refused:
    """Of a subscription that is not there, or not there any more."""
    return Refused("SUBSCRIPTION_NOT_FOUND", f"there is no subscription {key.partition('/')[2]}")


def _held(wake: Wake, subscription: Subscription, now_ms: int) -> Wake:
    phase: Phase = "held"
    return replace(wake, phase=phase, due_ms=now_ms + subscription.lease_ttl_ms)


def _well(subscription: Subscription) -> Subscription:
    return replace(subscription, failures=0, error="", failing_since_ms=0, not_before_ms=0)
