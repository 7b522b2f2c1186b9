"""What every simulated tree is told to run."""

import msgspec

from littoral.core.resources import Namespace, Rule

WINDOW_S, LATENESS_S = 10, 5
SPIKE_EVERY = 50
"""Of so many readings the last is far off, and nothing else is."""
SPIKE = 1000.0

RULE = msgspec.convert(
    {
        "kind": "Rule",
        "apiVersion": "littoral/v1",
        "metadata": {"name": "temperature"},
        "spec": {
            "placement": {"tiers": ["site"]},
            "source": {"mqtt": {"topic": "factory/+/temperature"}},
            "value": {"path": "value"},
            "timestamp": {"path": "ts", "unit": "s"},
            "sequence": {"path": "n"},
            "window": {"tumbling": f"{WINDOW_S}s", "allowedLateness": f"{LATENESS_S}s"},
            "detect": {"zscore": {"window": 12, "threshold": 5}},
            "windows": [
                {"stream": {"name": "windows"}},
                {"kv": {"namespace": "lines", "key": "last/{key}"}},
            ],
            "alerts": [{"stream": {"name": "alerts", "lane": "alerts"}}],
        },
    },
    Rule,
)


def namespace(name: str, mode: str = "replicated", cache_ttl: str = "60s") -> Namespace:
    """A namespace that is placed on every node."""
    return msgspec.convert(
        {
            "kind": "Namespace",
            "apiVersion": "littoral/v1",
            "metadata": {"name": name},
            "spec": {"mode": mode, "cacheTtl": cache_ttl},
        },
        Namespace,
    )


SHARED, CENTRAL, LINES = "shared", "central", "lines"
NAMESPACES = (namespace(SHARED), namespace(CENTRAL, "read-through"), namespace(LINES))


def topic_of(restores: int) -> str:
    """Where a site's device publishes. One that was given up with its node's store has a successor, with a topic of its own."""
    return f"factory/press{restores or ''}/temperature"


def value_of(number: int) -> float:
    """What reading `number` of a device says; its time is `number` seconds after the epoch."""
    return SPIKE if number % SPIKE_EVERY == SPIKE_EVERY - 1 else float(number % 5)


def payload_of(number: int) -> bytes:
    """A reading as a device sends it."""
    return msgspec.json.encode({"n": number, "ts": number, "value": value_of(number)})
