"""What a bridge asks the other broker for on one connection: what is not wanted any more is taken back, what is missing is subscribed to.

In MQTT 5 all is subscribed to with each connection, and retained messages come for what is new. MQTT 3.1.1 has them come with each
SUBSCRIBE: there, what that broker's session has already is left as it is, or an old retained message would be published here again with
each connection, over what was published here since.
"""

from collections.abc import Mapping, Sequence

from littoral.iot.bridge_terms import BridgeTerms
from littoral.wire.mqtt import MQTT_5, ReasonCode, Subscription


class BridgeSubscriptions:
    """Of one connection."""

    def __init__(self, terms: BridgeTerms, *, is_session_there: bool) -> None:
        """is_session_there: whether the other broker has the session of earlier connections."""
        wanted = terms.topics.there
        self.filters = frozenset(each.filter for each in wanted)
        """Those of the document."""
        known = terms.known if is_session_there else frozenset[str]()
        self.possible = known | self.filters
        """Those that it may have subscriptions of until all is answered."""
        self.stale = tuple(sorted(known - self.filters))
        """To be taken back."""
        self._is_kept = terms.level != MQTT_5
        had: Mapping[str, int] = terms.subscribed if self._is_kept and is_session_there else {}
        self.subscribed = {each.filter: each.qos for each in wanted if had.get(each.filter) == each.qos}
        """In MQTT 3.1.1: what it has said that it has, with the QoS that was asked for."""
        self.missing: Sequence[Subscription] = tuple(each for each in wanted if each.filter not in self.subscribed)
        """To be subscribed to."""

    def answered(self, reasons: Sequence[ReasonCode]) -> list[str]:
        """SUBACK has come for what was missing; returns what was refused, and why."""
        answers = list(zip(self.missing, reasons, strict=False))
        if self._is_kept:
            self.subscribed |= {each.filter: each.qos for each, reason in answers if not reason.failed}
        return [f"{each.filter} ({reason.name})" for each, reason in answers if reason.failed]
