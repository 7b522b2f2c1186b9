"""The document that a node was started with, while the node runs: its bridges and MQTT listeners follow it."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from littoral.core.errors import LittoralError
from littoral.core.limits import RESOURCE_FILE_BYTES
from littoral.core.resources import Node
from littoral.drivers.changed_file import ChangedFile

LOOK_S = 2.0
_FOLLOWED: Mapping[str, Any] = {"bridges": [], "listeners": []}
"""Of `spec.mqtt`, what is taken up while the node runs."""


class DocumentWatch:
    """Looks whether the file has changed; that is two system calls."""

    def __init__(
        self, path: Path, node: str, take: Callable[[Node], None], warn: Callable[[str], None], seen: str = ""
    ) -> None:
        """seen: see ChangedFile. take: gets each document that is another one, and is good. warn: told of those that are not; what was said before goes
        on."""
        self._file = ChangedFile(str(path), RESOURCE_FILE_BYTES.default, seen)
        self._node = node
        self._take = take
        self._warn = warn

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> bool:
        """See whether there is another document; whether it was taken."""
        if not self._file.has_changed():
            return False
        # It takes longer to import than most hubs ever need it.
        from littoral.core.resources.decode import decode_resources  # noqa: PLC0415

        try:
            documents = decode_resources(self._file.read(), self._file.path)
        except LittoralError as error:
            self._warn(f"{error}. What the document said before goes on")
            return False
        found = documents[0] if len(documents) == 1 else None
        if not isinstance(found, Node) or found.metadata.name != self._node:
            self._warn(f"{self._file.path} is no document of the node {self._node}. What it said before goes on")
            return False
        self._take(found)
        return True


def waits_for_a_start(before: Node, now: Node) -> list[str]:
    """What of a document takes effect only when the node is started again: paths of the parts that are different now."""

    def differing(one: Struct, other: Struct) -> list[str]:
        fields = zip(one.__struct_fields__, one.__struct_encode_fields__, strict=True)
        return [shown for name, shown in fields if getattr(one, name) != getattr(other, name)]

    spec = [f"spec.{each}" for each in differing(before.spec, now.spec) if each != "mqtt"]
    mqtt, mqtt_now = (msgspec.structs.replace(each.spec.mqtt, **_FOLLOWED) for each in (before, now))
    return spec + [f"spec.mqtt.{each}" for each in differing(mqtt, mqtt_now)]
