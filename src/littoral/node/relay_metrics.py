"""What gateways count of what they ask of the parent's, and of what those of children ask, as the hub shows it."""

from collections.abc import Iterator

from littoral.gateway.meters import Meters
from littoral.telemetry.metrics import Family, Sample, counter


def relay_families(total: Meters) -> Iterator[Family]:
    """For the metrics endpoint. total: of all gateways that there ever were."""
    answered = [Sample(meter.answered, {"route": route}) for route, meter in total.shields.items()]
    yield Family("littoral_http_shield_answered", "counter", "Misses that the parent node has answered.", answered)
    gone_on = [
        Sample(count, {"route": route, "reason": reason})
        for route, meter in total.shields.items()
        for reason, count in meter.gone_on.items()
    ]
    text = "Misses that went on to the origin though there is a parent to be asked, by reason."
    yield Family("littoral_http_shield_gone_on", "counter", text, gone_on)
    yield counter("littoral_http_relay_requests", "Requests of the gateways of child nodes.", total.relay.requests)
    yield counter("littoral_http_relay_refused", "Of these, those that were not answered.", total.relay.refused)
