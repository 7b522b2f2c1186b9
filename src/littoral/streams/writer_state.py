"""What a stream remembers of its writers, beside its records and in the same transaction.

scope `producers:<stream>`: key `producer/<id>` is a producer's last append, `seq` is the last Stream-Seq (its scope is
the stream, whoever writes), `closed-by` is the append that closed the stream.
"""

import msgspec

from littoral.core.errors import LimitReached
from littoral.core.limits import STREAM_PRODUCERS, Limits
from littoral.core.names import StreamName
from littoral.store.transaction import Transaction
from littoral.wire.durable_streams import Producer
from littoral.wire.producers import ProducerState

_PRODUCERS = "producer/"

_encode = msgspec.msgpack.Encoder().encode
_state = msgspec.msgpack.Decoder(ProducerState)
_producer = msgspec.msgpack.Decoder(Producer)


class WriterState:
    """The writers of one stream, for the time of one transaction."""

    def __init__(self, tx: Transaction, name: StreamName) -> None:
        self._tx = tx
        self._name = name
        self._scope = f"producers:{name}"

    def producer(self, producer_id: str) -> ProducerState | None:
        """The last append accepted from a producer."""
        value = self._tx.get_state(self._scope, _PRODUCERS + producer_id)
        return None if value is None else _state.decode(value)

    def check_room(self, limits: Limits) -> None:
        """Raise LimitReached if one more producer would be too many."""
        known = self._tx.count_state(self._scope, _PRODUCERS)
        if known >= limits[STREAM_PRODUCERS]:
            limits.hit(STREAM_PRODUCERS)
            raise LimitReached(
                "append to stream",
                str(self._name),
                f"it has had {known} idempotent producers, its limit",
                "Keep a producer's id over restarts and raise its epoch, or raise limit stream-producers",
            )

    def accept(self, producer: Producer) -> None:
        """This append of `producer` is being stored."""
        self._tx.put_state(self._scope, _PRODUCERS + producer.id, _encode(ProducerState(producer.epoch, producer.seq)))

    @property
    def seq(self) -> str | None:
        """The last Stream-Seq."""
        value = self._tx.get_state(self._scope, "seq")
        return None if value is None else value.decode()

    @seq.setter
    def seq(self, value: str) -> None:
        self._tx.put_state(self._scope, "seq", value.encode())

    @property
    def closed_by(self) -> Producer | None:
        """The producer's append that closed the stream, if one did."""
        value = self._tx.get_state(self._scope, "closed-by")
        return None if value is None else _producer.decode(value)

    @closed_by.setter
    def closed_by(self, producer: Producer) -> None:
        self._tx.put_state(self._scope, "closed-by", _encode(producer))

    def forget(self) -> None:
        """The stream is being deleted; a new one of its name knows no writer."""
        self._tx.clear_state(self._scope)
