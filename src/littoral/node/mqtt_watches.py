"""Operators who follow topics of a node's broker: they ask for what came, again and again."""

import asyncio
import logging
from functools import partial

from littoral.core.errors import InvalidInput, LimitReached, NotFound
from littoral.core.mqtt_limits import MQTT_WATCH_S, MQTT_WATCHES
from littoral.core.waiting import while_client_waits
from littoral.iot.broker import Broker
from littoral.iot.watch import Watch, Watched
from littoral.node.mqtt_messages import WATCHED_MOST, WatchedMessage, WatchOrder, WatchPage
from littoral.wire import mqtt
from littoral.wire.mqtt.names import text

PAGE_BYTES = 1 << 20
"""Of topics and payloads in one answer, unless a single message is larger."""
_log = logging.getLogger(__name__)


class _Kept:
    """One watch, and when it was asked for last."""

    def __init__(self, watch: Watch, now_s: float) -> None:
        self.watch = watch
        self.asked_s = now_s
        self.askers = 0
        self.came = asyncio.Event()
        watch.came = self.came.set


class MqttWatches:
    """Watches by their names. One that nobody asks for ends, within a limit."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._kept: dict[str, _Kept] = {}
        self._began_ms = broker.clock.wall_ms()
        self._number = 0
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, order: WatchOrder) -> str:
        """Follow these filters; the watch's name. Raises InvalidInput, LimitReached."""
        for each in order.filters:
            _check(each)
        limits = self._broker.limits
        if len(self._kept) >= limits[MQTT_WATCHES]:
            limits.hit(MQTT_WATCHES)
            raise LimitReached(
                "follow topics",
                ", ".join(order.filters)[:120],
                f"{len(self._kept)} operators follow some already",
                f"Try again later: one that nobody asks for ends after {limits[MQTT_WATCH_S]} s; or raise limit mqtt-watches",
            )
        self._number += 1
        name = f"{self._began_ms:x}-{self._number}"
        self._kept[name] = _Kept(Watch(self._broker, order.filters, order.retained), self._now_s)
        self._later()
        _log.info("an operator follows the MQTT topics %s, as %s", ", ".join(map(repr, order.filters)), name)
        return name

    async def page(self, name: str, after: int, wait_s: float) -> WatchPage:
        """What came, from number `after` on. Where there is nothing, waits so long for something. Raises NotFound."""
        kept = self._find(name)
        kept.asked_s = self._now_s
        found = kept.watch.take(after, WATCHED_MOST, PAGE_BYTES)
        if not found and wait_s > 0:
            kept.came.clear()
            kept.askers += 1
            try:
                with while_client_waits():
                    async with asyncio.timeout(wait_s):
                        await kept.came.wait()
            except TimeoutError:
                pass
            finally:
                kept.askers -= 1
                kept.asked_s = self._now_s
            found = kept.watch.take(after, WATCHED_MOST, PAGE_BYTES)
        following = found[-1].number + 1 if found else after
        return WatchPage([_told(each) for each in found], following, kept.watch.dropped, kept.watch.has_retained)

    def end(self, name: str) -> None:
        """Follow no more; one that has ended is no error."""
        kept = self._kept.pop(name, None)
        if kept is not None:
            kept.watch.end()
            kept.came.set()
            _log.info("the operator who followed MQTT topics as %s has ended", name)

    @property
    def _now_s(self) -> float:
        return self._broker.clock.monotonic_s()

    def _find(self, name: str) -> _Kept:
        kept = self._kept.get(name)
        if kept is None:
            cause = "it has ended, or the node has started anew"
            raise NotFound("follow topics", f"as {name[:80]}", cause, "Begin anew, with the filters")
        return kept

    def _later(self) -> None:
        if self._sweep is None and self._kept:
            self._sweep = asyncio.get_running_loop().call_later(1.0, self._end_old)

    def _end_old(self) -> None:
        self._sweep = None
        oldest_s = self._now_s - self._broker.limits[MQTT_WATCH_S]
        for name in [name for name, kept in self._kept.items() if not kept.askers and kept.asked_s < oldest_s]:
            self._broker.limits.hit(MQTT_WATCH_S)
            self.end(name)
        self._later()


def _check(topic_filter: str) -> None:
    invalid = partial(InvalidInput, "follow topics", repr(topic_filter[:120]))
    try:
        mqtt.check_filter(text(topic_filter.encode(), "a topic filter", mqtt.MQTT_5), mqtt.MQTT_5)
    except mqtt.RemoteProtocolError as error:
        raise invalid(str(error), "A filter is like plant/+/temperature, or plant/#") from error
    if mqtt.split_shared(topic_filter)[0] is not None:
        cause = "a shared subscription would take messages from its other members"
        raise invalid(cause, "Follow the filter without $share and its name")


def _told(watched: Watched) -> WatchedMessage:
    message = watched.message
    properties = message.properties
    return WatchedMessage(
        message.topic,
        message.payload,
        watched.at_ms,
        message.qos,
        watched.retained,
        properties.content_type,
        properties.response_topic,
        properties.correlation_data,
        list(properties.user),
    )
