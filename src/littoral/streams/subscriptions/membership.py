"""Making, changing and deleting subscriptions, as transactions."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from littoral.core.errors import InvalidInput, LimitReached
from littoral.core.limits import SUBSCRIPTION_STREAMS, SUBSCRIPTIONS, Limits
from littoral.core.names import StreamName
from littoral.store.transaction import Transaction
from littoral.streams.subscriptions.record import (
    Ledger,
    Link,
    Members,
    Subscription,
    acked_of,
    incarnation,
    links_of,
)
from littoral.streams.subscriptions.wakes import not_found
from littoral.wire.durable_streams import is_json
from littoral.wire.subscriptions import Refused


class Membership:
    """Of one node's subscriptions. Each method is one job."""

    def __init__(self, node: str, limits: Limits) -> None:
        self._node = node
        self._limits = limits

    def create(
        self, tx: Transaction, wanted: Subscription, explicit: Sequence[StreamName], present: Iterable[StreamName]
    ) -> bool:
        """Make a subscription, or find the same one there; whether it is new. present: the streams of the node; those that
        it means are linked where they end. Raises Refused, LimitReached, InvalidInput."""
        ledger = Ledger(tx)
        there = ledger.subscription(wanted.key)
        if there is not None:
            if there.digest != wanted.digest:
                raise Refused(
                    "SUBSCRIPTION_ALREADY_EXISTS", f"subscription {wanted.id} exists with another configuration"
                )
            return False
        most = self._limits[SUBSCRIPTIONS]
        if (count := ledger.count()) >= most:
            self._limits.hit(SUBSCRIPTIONS)
            cause = f"this node has {count} subscriptions, its limit"
            raise LimitReached("subscribe", wanted.id, cause, f"Delete some, or raise limit {SUBSCRIPTIONS.name}")
        self._check_wake_stream(tx, wanted, explicit)
        self._check_room(wanted.id, len(explicit))
        members = Members(wanted, self._node)
        for name in present:
            if members.matched(name):
                self._link(ledger, wanted.key, name, explicit=False)
        for name in explicit:
            self._link(ledger, wanted.key, name, explicit=True)
        ledger.put(replace(wanted, generation=ledger.floor))
        return True

    def add(self, tx: Transaction, key: str, names: Sequence[StreamName]) -> None:
        """Link streams by name. Raises Refused, LimitReached."""
        ledger = Ledger(tx)
        subscription = ledger.subscription(key)
        if subscription is None:
            raise not_found(key)
        self._check_wake_stream(tx, subscription, names)
        links = links_of(tx, key)
        explicit = {name for name, link in links.items() if link.explicit} | {str(name) for name in names}
        self._check_room(subscription.id, len(explicit))
        members = Members(subscription, self._node)
        for name in names:
            info, link = tx.stream(name), links.get(str(name), Link())
            linked = link.explicit or (info is not None and members.matched(name))
            if linked and info is not None:
                acked = acked_of(link, info, self._node)
                ledger.put_link(key, name, Link(incarnation(info, self._node), acked, explicit=True))
            elif not link.explicit:
                self._link(ledger, key, name, explicit=True)

    def remove(self, tx: Transaction, key: str, name: StreamName) -> None:
        """Unlink a stream that was linked by name; one that the pattern means stays linked. Raises Refused."""
        ledger = Ledger(tx)
        subscription = ledger.subscription(key)
        if subscription is None:
            raise not_found(key)
        link = ledger.link(key, name)
        if not link.explicit:
            return
        stays = Members(subscription, self._node).matched(name)
        ledger.put_link(key, name, Link(link.stream, link.acked, explicit=False) if stays else None)

    def delete(self, tx: Transaction, key: str) -> None:
        """Nothing that was given out for the subscription is good for anything any more. Raises Refused."""
        ledger = Ledger(tx)
        subscription = ledger.subscription(key)
        if subscription is None:
            raise not_found(key)
        ledger.delete(subscription)

    def tidy(self, tx: Transaction, key: str, names: Iterable[StreamName]) -> None:
        """Drop the cursors of streams that are gone, but for those that were named one by one."""
        ledger = Ledger(tx)
        for name in names:
            if tx.stream(name) is None and not ledger.link(key, name).explicit:
                ledger.put_link(key, name, None)

    def _link(self, ledger: Ledger, key: str, name: StreamName, *, explicit: bool) -> None:
        """At the stream's end."""
        info = ledger.tx.stream(name)
        if info is not None:
            ledger.put_link(key, name, Link(incarnation(info, self._node), info.next, explicit))
        elif explicit:
            ledger.put_link(key, name, Link(explicit=True))

    def _check_wake_stream(self, tx: Transaction, wanted: Subscription, explicit: Iterable[StreamName]) -> None:
        name = wanted.wake_stream
        if name is None:
            return
        info = tx.stream(name)
        cause = ""
        if name in explicit:
            cause = "it would wake by being told of"
        elif name.origin != self._node:
            cause = f"only {name.origin} appends to it"
        elif info is None:
            cause = "there is no such stream"
        elif not is_json(info.content_type):
            cause = f"it holds {info.content_type}, and wake events are JSON"
        elif info.closed:
            cause = "it is closed"
        if cause:
            raise InvalidInput("use wake stream", str(name), cause, "Create a stream of application/json for it")

    def _check_room(self, subscription: str, count: int) -> None:
        most = self._limits[SUBSCRIPTION_STREAMS]
        if count > most:
            self._limits.hit(SUBSCRIPTION_STREAMS)
            cause = f"it names {count} streams; at most {most} are allowed"
            raise LimitReached("subscribe", subscription, cause, "Use a pattern")
