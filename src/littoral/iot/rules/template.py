"""Names with `{key}` and `{rule}` filled in: where a sink's MQTT topic or KV key comes from.

A key may be anything a device sends. It is filled in so that it cannot change the meaning of the name around it:
wildcards of MQTT (`+`, `#`), control characters (NUL is not allowed in topics) and `%` itself are percent-encoded,
and so is a `$` at the very beginning of the result (MQTT 3.1.1, section 4.7.2: names of the server's own). Different
keys give different names. A `/` is kept: a key that is a topic keeps its levels.
"""

import re

_PLACEHOLDER = re.compile(r"\{(key|rule)\}")
_UNSAFE = re.compile("[%+#\x00-\x1f\x7f-\x9f]")


def render_template(template: str, *, key: str, rule: str) -> str:
    """`template` with its placeholders filled in, once: what a key holds is never a placeholder itself. Other braces
    are left as they are."""
    values = {"key": _UNSAFE.sub(_percent, key), "rule": rule}
    name = _PLACEHOLDER.sub(lambda match: values[match[1]], template)
    if name.startswith("$") and not template.startswith("$"):
        return "%24" + name[1:]
    return name


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
