"""Messages that operators publish: they pass as a client's would, to rules and subscribers; `spec.mqtt.access` is not about operators."""

import asyncio
import logging

from littoral.core.errors import Forbidden, InvalidInput, LittoralError, TooLarge, Unavailable
from littoral.core.mqtt_limits import MQTT_PACKET_BYTES
from littoral.iot.broker import Broker
from littoral.iot.message import Message
from littoral.node.mqtt_messages import Published, PublishOrder
from littoral.wire import mqtt
from littoral.wire.mqtt import MQTT_5, NO_PROPERTIES, Properties

_OPERATION = "publish to MQTT topic"
_log = logging.getLogger(__name__)


async def publish(broker: Broker, order: PublishOrder) -> Published:
    """Returns when it may be acknowledged: a message of QoS 1 or 2 is synced to disk then. Raises InvalidInput, Forbidden, TooLarge,
    Unavailable."""
    message = _message(broker, order)
    if message.topic.startswith("$SYS/"):
        raise Forbidden(_OPERATION, message.topic[:120], "it is the broker's own", "Choose another topic")
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def written(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        elif isinstance(error, LittoralError):
            done.set_exception(error)
        else:
            done.set_exception(Unavailable(_OPERATION, message.topic[:120], f"it could not be stored: {error}"))

    broker.publish_as_client(message, written)
    await done
    retained = ", retained" if message.retain else ""
    _log.info(
        "an operator published %d bytes to MQTT topic %r at QoS %d%s",
        len(message.payload),
        message.topic[:200],
        message.qos,
        retained,
    )
    return Published(message.topic, stored=message.qos > 0)


def _message(broker: Broker, order: PublishOrder) -> Message:
    """As the codec would find it in a client's PUBLISH: what is wrong there is wrong here."""
    properties = Properties(
        message_expiry_s=order.expiry_s,
        content_type=order.content_type,
        response_topic=order.response_topic,
        user=tuple(order.user),
    )
    packet = mqtt.Publish(order.topic, order.payload, 0, order.retain, properties=properties)
    try:
        frame = mqtt.encode(packet, MQTT_5)
        most = broker.limits[MQTT_PACKET_BYTES]
        if len(frame) > most:
            broker.limits.hit(MQTT_PACKET_BYTES)
            cause = f"the packet has {len(frame):,} bytes, and limit {MQTT_PACKET_BYTES.name} is {most:,}"
            raise TooLarge(
                _OPERATION, order.topic[:120], cause, "Send less, or raise the limit in spec.limits of the node"
            )
        found = mqtt.header(frame, 0, most, MQTT_5)
        assert found is not None, len(frame)
        mqtt.decode(frame[0], frame[found[0] :], MQTT_5)
        mqtt.check_topic(order.topic.encode(), MQTT_5)
    except mqtt.RemoteProtocolError as error:
        raise InvalidInput(_OPERATION, repr(order.topic[:120]), str(error)) from error
    expires_ms = None if order.expiry_s is None else broker.clock.wall_ms() + order.expiry_s * 1000
    rest = Properties(content_type=order.content_type, response_topic=order.response_topic, user=tuple(order.user))
    rest = NO_PROPERTIES if rest == NO_PROPERTIES else rest
    return Message(order.topic, order.payload, order.qos, order.retain, rest, expires_ms)
