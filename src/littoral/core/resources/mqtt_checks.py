"""What a node's MQTT broker must satisfy beyond the types of its fields."""

import re
from collections.abc import Iterator

from littoral.core.resources.check import Mistake, repeated
from littoral.core.resources.mqtt import Mqtt, MqttListener
from littoral.core.resources.mqtt_authenticator import check_authenticator
from littoral.core.resources.mqtt_bridge_checks import check_bridges
from littoral.core.resources.problem import Path
from littoral.core.resources.topic_filters import is_topic_filter

_SCRYPT = re.compile(r"scrypt\$[0-9]{1,9}\$[0-9]{1,3}\$[0-9]{1,3}\$[A-Za-z0-9_-]+\$[A-Za-z0-9_-]+")
_ARGON2 = re.compile(r"\$argon2id\$v=19\$m=[0-9]{1,9},t=[0-9]{1,3},p=[0-9]{1,3}\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
_PLACEHOLDER = re.compile("%(.?)")


def check_mqtt(mqtt: Mqtt) -> Iterator[Mistake]:
    """Of a Node's `spec.mqtt`."""
    path = ("spec", "mqtt")
    yield from repeated((*path, "users"), (user.username for user in mqtt.users), "username")
    for index, user in enumerate(mqtt.users):
        if not (_SCRYPT.fullmatch(user.password_hash) or _ARGON2.fullmatch(user.password_hash)):
            where = (*path, "users", index, "passwordHash")
            yield where, "this is no password hash; `littoral mqtt hash` prints one"
    for index, entry in enumerate(mqtt.access):
        for position, pattern in enumerate(entry.topics):
            yield from _pattern((*path, "access", index, "topics", position), pattern)
    yield from repeated((*path, "listeners"), (each.address for each in mqtt.listeners if _is_fixed(each)), "address")
    for index, listener in enumerate(mqtt.listeners):
        if listener.origins and listener.web_socket is None:
            where = (*path, "listeners", index, "origins")
            yield where, "pages of web sites speak WebSocket only; set `webSocket`"
        if listener.client_certificates is not None and not listener.certificates:
            where = (*path, "listeners", index, "clientCertificates")
            yield where, "clients show certificates in TLS only; name the `certificates` that the listener shows"
    yield from check_authenticator((*path, "authenticator"), mqtt.authenticator)
    yield from check_bridges((*path, "bridges"), mqtt.bridges)


def _pattern(path: Path, pattern: str) -> Iterator[Mistake]:
    unknown = next((match[0] for match in _PLACEHOLDER.finditer(pattern) if match[1] not in ("u", "c")), None)
    if unknown is not None:
        yield path, f'found "{unknown}" in "{pattern[:80]}"; "%u" is the user name, "%c" the client identifier'
    if pattern.startswith("$share/"):
        yield path, f'found "{pattern[:80]}"; name the filter behind $share/NAME/: it is for shared subscriptions, too'
    if not is_topic_filter(pattern):
        cause = f'found "{pattern[:80]}"; "+" stands for a whole level and "#" for all last ones: a/+/b, a/#'
        yield path, cause


def _is_fixed(listener: MqttListener) -> bool:
    return not listener.address.endswith(":0")
