"""What the origin of a run serves. A body says which page it is, in which language and version, and the rest of it follows
from that: so whoever reads one knows whether it is whole, and whether it is what was asked for."""

from dataclasses import dataclass, field
from hashlib import sha256

LANGUAGES = ("de", "en", "fr")
KIB = 1 << 10


@dataclass(frozen=True, slots=True)
class Kind:
    """Pages that are alike."""

    name: str
    pages: int
    size: int
    """Of the body, in bytes, at least."""
    fields: str
    """Of the answer."""
    varies: bool = False
    chunked: bool = False


KINDS = (
    Kind("small", 2000, 700, "cache-control: max-age=2"),
    Kind("fresh", 500, 8 * KIB, "cache-control: max-age=600"),
    Kind("tagged", 200, 2 * KIB, "cache-control: max-age=600\r\ncache-tag: all"),
    Kind("vary", 100, 3 * KIB, "cache-control: max-age=5\r\nvary: accept-language", varies=True),
    Kind("private", 100, 2 * KIB, "cache-control: private"),
    Kind("large", 60, 700 * KIB, "cache-control: max-age=60", chunked=True),
    Kind("huge", 4, 12 << 20, "cache-control: max-age=20"),
    Kind("broken", 20, 60 * KIB, "cache-control: max-age=60"),
    Kind("ill", 20, 900, "cache-control: max-age=1, stale-if-error=600"),
)
BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Page:
    """One URL, as one client wants it."""

    kind: Kind
    number: int
    language: str = "en"

    @property
    def path(self) -> str:
        return f"/{self.kind.name}/{self.number}"

    def body(self, version: int) -> bytes:
        """All of it."""
        said = f"{self.path} {self.language if self.kind.varies else '-'} {version}\n".encode()
        rest = sha256(said).digest()
        return said + rest * (self.kind.size // len(rest))

    @property
    def etag(self) -> str:
        """Of version 0; others have no entity tag."""
        return f'"{self.kind.name}-{self.number}"'


def version_of(page: Page, body: bytes) -> int | None:
    """Which version a body is; None if it is not this page, or not all of it."""
    first = body[: body.find(b"\n")].split()
    if len(first) != 3 or not first[2].isdigit():
        return None
    version = int(first[2])
    return version if body == page.body(version) else None


@dataclass(slots=True)
class Versions:
    """Which version of each page the origin has."""

    now: dict[str, int] = field(default_factory=dict)

    def of(self, path: str) -> int:
        return self.now.get(path, 0)

    def change(self, path: str) -> int:
        """There is a newer one from now on."""
        self.now[path] = self.of(path) + 1
        return self.now[path]
