"""Requests of apps, out of the access log of a node's gateways, for who looks at what the apps write.

Gateways write them to files as their document says (spec.accessLog); a node without has none. The files are read only as long as
somebody asks: whoever wants all of it has the files.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from littoral.core.undecodable import UNDECODABLE
from littoral.drivers.tail import Tail

LOOK_S = 0.25
PATIENCE_LOOKS = 240
"""After a minute in which nobody asked, the files are left alone."""
APP = "app/"


class _Line(msgspec.Struct):
    """Of an access log; any of it may be left out there."""

    route: str = ""
    request_id: str = ""
    method: str = ""
    path: str = ""
    status: int = 0
    duration_ms: float = 0.0


_decode = msgspec.json.Decoder(_Line).decode


class RequestLines:
    """Of one node."""

    def __init__(self, files: Sequence[Path], note: Callable[[str, str, str], None]) -> None:
        """files: one for each gateway. note: told app, id and text of each request."""
        self._files = files
        self._note = note
        self._looks = 0
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Somebody looks at the lines of an app."""
        self._looks = PATIENCE_LOOKS
        self._asked.set()

    async def run(self) -> None:
        """Read while it is asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            tails = await asyncio.to_thread(lambda: [Tail(path) for path in self._files])
            while self._looks:
                self._looks -= 1
                for line in await asyncio.to_thread(_new_lines, tails):
                    self._take(line)
                await asyncio.sleep(LOOK_S)

    def _take(self, line: bytes) -> None:
        try:
            found = _decode(line)
        except UNDECODABLE:
            return
        if found.route.startswith(APP) and found.method:
            said = f"{found.method} {found.path} {found.status} {found.duration_ms:.1f} ms"
            self._note(found.route.removeprefix(APP), found.request_id, said)


def _new_lines(tails: Sequence[Tail]) -> list[bytes]:
    return [line for tail in tails for line in tail.new_lines()]
