"""What a gateway's cache counts. Plain integers: they are bumped on every request and read once a second."""

from msgspec import Struct


class CacheMeter(Struct):
    """Of one route."""

    hits: int = 0
    stale_hits: int = 0
    """Of the hits, those served stale: while it was validated, or because the origin failed."""
    validated: int = 0
    """Requests for which the origin confirmed what was stored."""
    collapsed: int = 0
    """Requests that were answered by what another one fetched."""
    misses: int = 0
    stored: int = 0
    """Answers that were stored."""
    hit_bytes: int = 0
    """Of bodies, served without the origin."""

    def add(self, other: "CacheMeter") -> None:
        """Count what another counted, too."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
