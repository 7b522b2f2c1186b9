"""What a developer sees of what a node and its workers write."""

import re
from pathlib import Path

import msgspec

import littoral
from littoral.cli.output import printable
from littoral.core.undecodable import UNDECODABLE
from littoral.functions.confinement.view import CODE
from littoral.functions.worker.loader import PACKAGES

_OF_APP = re.compile(r"(?P<app>[a-z0-9-]+)-\d+: (?P<text>.*)", re.DOTALL)
_OF_NODE = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (?P<level>[A-Z]+) (?P<rest>.*)", re.DOTALL)
_REVISION = re.compile(rf'(?:[^\s"]*/apps/[a-z0-9-]+-[0-9a-f]{{16}}|{re.escape(CODE)})/(?P<packages>{PACKAGES}/)?')
"""Where a worker has its app's code: in the folder of the revision, or where that is put in a file system of its own."""
_FRAME = re.compile(r'(?:\[\S+\] )?  File "(?P<file>[^"]*)"')
_OF_FRAME = re.compile(r"(?:\[\S+\] )?    ")
_OURS = (str(Path(littoral.__file__).parent / "functions"), "<frozen ")
"""Files whose frames say nothing of the app: what calls it, and how Python imports."""


class Lines:
    """Lines of the supervisor's output, as they are to be printed."""

    def __init__(self, app: str, root: Path) -> None:
        """app: the one that is developed. root: the folder its paths begin in."""
        self.app = app
        self.root = root
        self._skips = False
        """Whether the lines are those of a frame that is left out."""

    def shown(self, line: str) -> str | None:
        """The line; None for one that is of no interest."""
        if (found := _OF_APP.fullmatch(line)) is not None and found["app"] == self.app:
            if self._is_ours(found["text"]):
                return None
            text = _REVISION.sub(lambda each: each["packages"] or f"{self.root}/", found["text"])
            return "\t".join(printable(each) for each in text.split("\t"))
        if (found := _OF_NODE.fullmatch(line)) is not None:
            return None if found["level"] in {"INFO", "DEBUG"} else f"node: {printable(found['rest'])}"
        return None

    def _is_ours(self, text: str) -> bool:
        """Whether a line is of a traceback's frame in the platform."""
        if (frame := _FRAME.match(text)) is not None:
            self._skips = frame["file"].startswith(_OURS)
        elif not _OF_FRAME.match(text):
            self._skips = False
        return self._skips


class LoggedRequest(msgspec.Struct):
    """A line of the gateway's access log."""

    method: str = ""
    path: str = ""
    status: int = 0
    duration_ms: float = 0.0


_decode = msgspec.json.Decoder(LoggedRequest).decode


def request_line(line: bytes) -> str | None:
    """A request as a line; None for what is no request."""
    try:
        found = _decode(line)
    except UNDECODABLE:
        return None
    if not found.method:
        return None
    return f"{found.method} {printable(found.path)} {found.status} {found.duration_ms:.1f} ms"
