"""What a broker owes to clients that number their publishes, whatever happened to it."""

from collections import Counter
from collections.abc import Sequence

from tests.support.mqtt_peer import Peer


def numbered(publisher: Peer, number: int) -> bytes:
    """The payload of a publish: there is no other like it."""
    return b"%s %d" % (publisher.client_id.encode(), number)


def all_came(publishers: Sequence[Peer], subscribers: Sequence[Peer]) -> bool:
    """Whether every subscriber has all that was promised to the publishers; each of them subscribes to all."""
    promised = {payload for each in publishers for payload in each.promised}
    return all(promised <= set(each.payloads) for each in subscribers)


def check_promises(publishers: Sequence[Peer], subscribers: Sequence[Peer]) -> None:
    """Everything that was acknowledged came; at QoS 2 nothing came twice; in the order of its publisher."""
    for peer in (*publishers, *subscribers):
        assert peer.faults == []
    assert all_came(publishers, subscribers)
    for subscriber in subscribers:
        twice = [
            payload
            for payload, count in Counter(each.payload for each in subscriber.received if each.qos == 2).items()
            if count > 1
        ]
        assert twice == [], f"{subscriber.client_id} got these twice at QoS 2"
        _check_flags(publishers, subscriber)
        for publisher in publishers:
            _check_order(publisher, subscriber)


def _check_flags(publishers: Sequence[Peer], subscriber: Peer) -> None:
    """What comes again at QoS 1 says so [MQTT-3.3.1-1]: of messages that were published at QoS 2, of which there is one each."""
    once = {payload for each in publishers for payload, qos in each.published.items() if qos == 2}
    seen: set[bytes] = set()
    for each in subscriber.received:
        # A retained message that a subscription begins with is another one.
        if each.qos == 1 and each.payload in once and not each.retain:
            assert each.duplicate or each.payload not in seen, f"{subscriber.client_id} got {each} again, without DUP"
            seen.add(each.payload)


def _check_order(publisher: Peer, subscriber: Peer) -> None:
    """Messages of one topic that were published at one QoS come in order, but for those that come again [MQTT-4.6.0-6]."""
    came: dict[tuple[str, int], dict[int, None]] = {}
    for each in subscriber.received:
        qos = publisher.published.get(each.payload)
        if qos is not None:
            came.setdefault((each.topic, qos), {})[int(each.payload.rpartition(b" ")[2])] = None
    for kind, numbers in came.items():
        assert list(numbers) == sorted(numbers), (
            f"{subscriber.client_id} got {kind} of {publisher.client_id} out of order"
        )
