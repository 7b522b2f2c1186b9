"""Server-Timing (W3C): where the time of a request went, as a server tells it.

server-timing: cache;desc=hit, origin;dur=12.3;desc="http://10.0.0.1", total;dur=12.9
"""

import re
from typing import NamedTuple

from littoral.wire.caching.fields import VALUE_CHARACTERS, members

NAME = "server-timing"
METRICS_MOST, METRIC_CHARACTERS = 64, 512
"""Who says more says it to nobody."""
_PARAMETER = re.compile(r';[ \t]*+([^\s;,="]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;,"]*+))')
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ESCAPED = re.compile(r"\\(.)")
_TO_ESCAPE = re.compile(r'(["\\])')
_UNSENDABLE = re.compile(r"[^\x20-\x7e]")
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,12})?")


class Metric(NamedTuple):
    """One thing that took time, or is only named."""

    name: str
    duration_ms: float | None = None
    description: str = ""

    def __str__(self) -> str:
        text = self.name
        if self.duration_ms is not None:
            text += f";dur={self.duration_ms:.1f}"
        if self.description:
            text += f";desc={_value(self.description)}"
        return text


def read_server_timing(value: str) -> list[Metric]:
    """What a server says; what cannot be read is left out."""
    metrics = []
    for member in members(value[:VALUE_CHARACTERS])[:METRICS_MOST]:
        name, _, rest = member[:METRIC_CHARACTERS].partition(";")
        if not _TOKEN.fullmatch(name := name.strip()):
            continue
        said: dict[str, str] = {}
        for parameter, quoted, plain in _PARAMETER.findall(f";{rest}"):
            # The first of a name counts (section 3).
            said.setdefault(parameter.lower(), _ESCAPED.sub(r"\1", quoted) or plain)
        duration = _NUMBER.fullmatch(said.get("dur", ""))
        metrics.append(Metric(name, float(duration[0]) if duration else None, said.get("desc", "")))
    return metrics


def _value(text: str) -> str:
    if _TOKEN.fullmatch(text):
        return text
    return '"' + _TO_ESCAPE.sub(r"\\\1", _UNSENDABLE.sub("?", text)) + '"'
