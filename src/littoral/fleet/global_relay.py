"""Messages of global topics on their way through a node: taken from its own clients, from below and from above, each once.

    mqtt/NAME of this node            with `to: tree`: for the nodes below
    mqtt/NAME of a node below         for this node's clients, and with `to: tree` for the nodes below
    mqtt-tree/NAME of the parent      for this node's clients where it is placed here, and for the nodes below

All of it goes into this node's stream `mqtt-tree/NAME`: its clients get it from there (`littoral.iot.global_delivery`), and children
follow it. What was published below a node comes back to it from above: a message is known by its origin and its offset there, and
how far each origin has come is kept in the transaction that appends. So none goes round in a circle, none comes twice by two ways, and
those of an origin keep their order.

Retained messages: of two for one topic the later one stays, by the clocks of their nodes, so that all nodes end with the same. They are
kept for nodes that come later, or were away for longer than the stream goes back: those get them as a snapshot
(`littoral.streams.bootstrap`), and of the others those that come from then on.

Kept in the store under these scopes:

    mqtt-seen/NAME        origin -> [(since, number), ...]     the next number that is new, of each stream the origin had
    mqtt-retained/NAME    topic -> Travelling
    mqtt-arriving/NAME    topic -> nothing                     what a snapshot has brought whose parts have not all come
"""

from collections.abc import Sequence

import msgspec

from littoral.core.errors import InvalidInput, Unavailable
from littoral.core.limits import Limits
from littoral.core.mqtt_limits import MQTT_GLOBAL_BYTES, MQTT_GLOBAL_RETAINED
from littoral.core.names import StreamName
from littoral.core.resources import GlobalTopics, placement_matches, topic_matches
from littoral.fleet.desired import DesiredFold, desired_in, is_desired
from littoral.fleet.registry import MEMBERS, SUBTREE
from littoral.iot.global_records import (
    Published,
    Travelling,
    Way,
    decode_published,
    decode_travelling,
    encode_travelling,
    message_of,
    open_tree_stream,
    published_name,
    tree_name,
)
from littoral.store.dead_letters import append_dead_letters, dead_letters
from littoral.store.store import Store
from littoral.store.stream import StreamInfo
from littoral.store.transaction import Transaction
from littoral.streams.bootstrap import SnapshotPart, items_of
from littoral.wire import mqtt
from littoral.wire.peer import Member

SEEN = "mqtt-seen/"
RETAINED = "mqtt-retained/"
ARRIVING = "mqtt-arriving/"
NOBODY = ""
"""Origin of the end of a retained message where nobody knows who published that."""
STREAMS_REMEMBERED = 4
"""Of one origin, the latest: as many times its disk may be replaced while messages of before are still on their way."""

Seen = list[tuple[int, int]]
_encode = msgspec.msgpack.Encoder().encode
_decode_seen = msgspec.msgpack.Decoder(Seen).decode
_decode_members = msgspec.msgpack.Decoder(list[Member]).decode


def way_of(resource: GlobalTopics, limits: Limits) -> Way:
    """By which messages of its topics leave a node."""
    return Way(resource.metadata.name, resource.spec.lane, limits[MQTT_GLOBAL_BYTES])


class GlobalRelay:
    """Implements `littoral.store.folder.Fold`, and gives and takes snapshots of what is retained."""

    name = "mqtt-relay"

    def __init__(self, own: Member, parent: str, limits: Limits) -> None:
        """own: this node. parent: the parent's name; empty at the root."""
        self._own = own
        self._parent = parent
        self._limits = limits
        self._desired: StreamName | None = None
        """The tree's desired state, once its stream was seen."""
        self._had: dict[StreamName, int] = {}
        """Up to where a stream was followed that is begun anew. The writer's."""
        self.relayed = 0
        """Messages taken. Counted on the writer."""
        self.missed = 0
        """Messages from above that were gone when this node asked for them: it was away for too long. Counted on the writer."""

    # The fold

    def wants(self, info: StreamInfo) -> bool:
        if is_desired(info, self._own.node, self._parent):
            self._desired = info.name
        if published_name(info.name.path) is not None:
            return not self._parent or info.via != self._parent
        from_above = info.name.origin == self._parent == info.via
        return bool(self._parent) and from_above and tree_name(info.name.path) is not None

    def apply(self, tx: Transaction, source: StreamName, first: int, records: Sequence[bytes]) -> None:
        """See Fold.apply. Raises also Unavailable while it is not known here which topics are global."""
        name = published_name(source.path) or tree_name(source.path) or ""
        resource = self._resource(tx, name, source)
        if source.origin == self._own.node and resource.spec.to == "root":
            return
        if source.origin not in (self._own.node, self._parent):
            self._check_placed(tx, source, resource)
        seen: dict[str, Seen] = {}
        taken: list[Travelling] = []
        for number, record in enumerate(records, first):
            entry = self._entry(source, number, record)
            if entry.stays or (entry.origin == self._own.node and source.origin == self._parent):
                continue  # It was known there, or it has come back.
            _check_message(source, resource, entry.message)
            if _is_new(tx, name, seen, entry):
                judged = self._judged(tx, resource, entry, above=source.origin == self._parent)
                taken.append(judged)
                taken += self._staying(tx, name, judged)
        for origin, marks in seen.items():
            tx.put_state(SEEN + name, origin, _encode(marks))
        self._append(tx, resource, taken)

    def retry(self, tx: Transaction, source: StreamName, number: int, record: bytes) -> str:
        """Take a record that was put aside once more, behind what has come since; returns what came of it. number: its offset. Raises
        as `apply`."""
        name = published_name(source.path) or tree_name(source.path) or ""
        resource = self._resource(tx, name, source)
        above = source.origin == self._parent
        if not above:
            self._check_placed(tx, source, resource)
        entry = self._entry(source, number, record)
        _check_message(source, resource, entry.message)
        self._append(tx, resource, [self._judged(tx, resource, entry, above=above)])
        return "sent on"

    def _resource(self, tx: Transaction, name: str, source: StreamName) -> GlobalTopics:
        found = desired_in(tx, GlobalTopics, name)
        if found is None:
            info = tx.stream(self._desired) if self._desired is not None else None
            # Nothing was ever desired at the root; elsewhere it did not arrive yet.
            known = not self._parent if info is None else tx.fold_offset(DesiredFold.name, info.name) >= info.next
            if not known:
                raise Unavailable("take messages of", str(source), "the desired state is not folded to its end yet")
            raise InvalidInput(
                "take message of",
                str(source),
                f"there is no GlobalTopics {name[:80]}",
                "Apply one, and retry the dead letter; or drop it",
            )
        return found

    def _check_placed(self, tx: Transaction, source: StreamName, resource: GlobalTopics) -> None:
        """That the node below may publish so, as far as it is known. Raises InvalidInput."""
        info = tx.stream(source)
        members = tx.get_state(MEMBERS, info.via) if info is not None else None
        for member in _decode_members(members) if members is not None else ():
            if member.node == source.origin and not _is_placed(resource, member):
                raise InvalidInput(
                    "take message of",
                    str(source),
                    f"{source.origin} is not in spec.placement of GlobalTopics {resource.metadata.name}",
                    "Place it there, and retry the dead letter; or drop it",
                )

    def _entry(self, source: StreamName, number: int, record: bytes) -> Travelling:
        if source.origin == self._parent:
            return decode_travelling(source, record)
        return Travelling(source.origin, number, decode_published(source, record))

    def _judged(self, tx: Transaction, resource: GlobalTopics, entry: Travelling, *, above: bool) -> Travelling:
        """What becomes of a message at this node."""
        keep = entry.message.retain and self._keeps(tx, resource.metadata.name, entry)
        here = not above or _is_placed(resource, self._own)
        return msgspec.structs.replace(entry, keep=keep, here=here)

    def _staying(self, tx: Transaction, name: str, judged: Travelling) -> Sequence[Travelling]:
        """What is retained all the same, after a message that this node's own clients have, and that is earlier."""
        if judged.origin != self._own.node or judged.keep or not judged.message.retain:
            return ()
        value = tx.get_state(RETAINED + name, judged.message.topic)
        if value is None:
            return ()
        held = decode_travelling(name, value)
        return (msgspec.structs.replace(held, keep=True, here=False, stays=True),)

    def _keeps(self, tx: Transaction, name: str, entry: Travelling) -> bool:
        """Take over the retained message of a topic; whether it is later than the one that is kept."""
        scope, topic = RETAINED + name, entry.message.topic
        value = tx.get_state(scope, topic)
        if value is not None and not _is_later(entry, decode_travelling(name, value)):
            return False
        if not entry.message.payload:
            tx.put_state(scope, topic, None)
            return True
        if value is None and tx.count_state(scope) >= self._limits[MQTT_GLOBAL_RETAINED]:
            self._limits.hit(MQTT_GLOBAL_RETAINED)
            return False
        tx.put_state(scope, topic, encode_travelling(entry))
        return True

    def _append(self, tx: Transaction, resource: GlobalTopics, entries: Sequence[Travelling]) -> None:
        if entries:
            stream = open_tree_stream(tx, way_of(resource, self._limits))
            # What it follows from was acknowledged.
            tx.append(stream, [encode_travelling(each) for each in entries], essential=True)
            self.relayed += len(entries)

    # Snapshots (littoral.streams.bootstrap)

    def part(self, store: Store, name: str, cursor: str | None, most_bytes: int) -> SnapshotPart:
        """See Snapshots.part."""
        values, complete = store.state_part(RETAINED + name, cursor or "", most_bytes)
        return SnapshotPart(_encode([msgspec.Raw(value) for _, value in values]), None if complete else values[-1][0])

    def begin(self, tx: Transaction, source: StreamName, name: str) -> None:
        """See Snapshots.begin."""
        if (info := tx.stream(source)) is not None:
            self._had[source] = info.next
        tx.clear_state(ARRIVING + name)

    def take(self, tx: Transaction, source: StreamName, name: str, part: SnapshotPart) -> None:
        """See Snapshots.take. What is later than what is kept here never came here before: who has subscribed gets it. Raises
        Unavailable while it is not known here which topics are global."""
        resource = desired_in(tx, GlobalTopics, name)
        if resource is None:
            raise Unavailable("take messages of", str(source), f"there is no GlobalTopics {name[:80]} here yet")
        taken: list[Travelling] = []
        for item in items_of(part.items):
            try:
                entry = decode_travelling(source, item)
                _check_message(source, resource, entry.message)
            except InvalidInput as error:
                letters = dead_letters(f"snapshot of {source}", str(error), item, tx.now_ms, f"fold/{self.name}")
                append_dead_letters(tx, letters)
                continue
            tx.put_state(ARRIVING + name, entry.message.topic, b"")
            if not self._is_own(tx, entry.origin):
                judged = self._judged(tx, resource, entry, above=True)
                taken += [judged] if judged.keep else []
        self._append(tx, resource, taken)

    def finish(self, tx: Transaction, source: StreamName, name: str, offset: int) -> None:
        """See Snapshots.finish. What is retained here and not at the parent was ended while this node did not hear of it."""
        arrived = tx.state(ARRIVING + name)
        resource = desired_in(tx, GlobalTopics, name)
        ended: list[Travelling] = []
        for topic, value in tx.state(RETAINED + name).items():
            held = decode_travelling(source, value)
            if topic in arrived or self._is_own(tx, held.origin):
                continue
            tx.put_state(RETAINED + name, topic, None)
            nothing = msgspec.structs.replace(
                held.message, payload=b"", expires_ms=None, at_ms=held.message.at_ms + 1, since=0
            )
            ended.append(
                Travelling(NOBODY, 0, nothing, keep=True, here=resource is not None and _is_placed(resource, self._own))
            )
        tx.clear_state(ARRIVING + name)
        if resource is not None:
            self._append(tx, resource, ended)
        tx.set_fold(self.name, source, offset)
        self.missed += max(0, offset - self._had.pop(source, offset))

    def _is_own(self, tx: Transaction, origin: str) -> bool:
        """Whether a message comes from here or below: then this node knows it better than its parent."""
        return origin == self._own.node or tx.get_state(SUBTREE, origin) is not None


def _is_placed(resource: GlobalTopics, member: Member) -> bool:
    return placement_matches(resource.spec.placement, tier=member.tier, node=member.node, labels=member.labels)


def _is_new(tx: Transaction, name: str, seen: dict[str, Seen], entry: Travelling) -> bool:
    """Whether a message has not come yet; it has now. seen: the marks that have moved."""
    if entry.origin == NOBODY:
        return True  # It only goes down, and by one way.
    if entry.origin not in seen:
        value = tx.get_state(SEEN + name, entry.origin)
        seen[entry.origin] = _decode_seen(value) if value is not None else []
    marks = seen[entry.origin]
    for place, (since, following) in enumerate(marks):
        if since == entry.message.since:
            if entry.number < following:
                return False
            del marks[place]
            break
    marks.append((entry.message.since, entry.number + 1))
    del marks[:-STREAMS_REMEMBERED]
    return True


def _is_later(entry: Travelling, held: Travelling) -> bool:
    """Whether a retained message takes the place of another. Those of one node come in their order, whatever its clock does."""
    if entry.origin == held.origin and entry.message.since == held.message.since:
        return entry.number > held.number
    return (entry.message.at_ms, entry.origin) > (held.message.at_ms, held.origin)


def _check_message(source: StreamName, resource: GlobalTopics, published: Published) -> None:
    """Before what another node wrote reaches clients. Raises InvalidInput."""
    topic = published.topic
    if not any(topic_matches(each, topic) for each in resource.spec.topics) or topic.split("/")[0] == "$SYS":
        raise InvalidInput(
            "take message of",
            str(source),
            f"its topic {topic[:80]!r} is none of GlobalTopics {resource.metadata.name}",
            "Name it in spec.topics, and retry the dead letter; or drop it",
        )
    message = message_of(published)
    packet = mqtt.Publish(
        topic, published.payload, published.qos, published.retain, packet_id=1, properties=message.properties
    )
    try:
        frame = mqtt.encode(packet, mqtt.MQTT_5)
        body, _ = mqtt.header(frame, 0, len(frame), mqtt.MQTT_5) or (0, 0)
        mqtt.decode(frame[0], frame[body:], mqtt.MQTT_5)
    except (ValueError, OverflowError, AssertionError, mqtt.RemoteProtocolError) as error:
        raise InvalidInput("take message of", str(source), f"MQTT cannot say it ({error})") from error
