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


class DiskMeter(Struct):
    """Of the cache's objects on a disk. What the gateways of a node share, each of them says; the rest each counts for itself."""

    bytes: int = 0
    """Of all objects, counted against the limit; shared."""
    objects: int = 0
    """Shared."""
    hits: int = 0
    """Requests for which memory had nothing, or not the body."""
    stored: int = 0
    evicted: int = 0
    """That had to leave for others."""
    purged: int = 0
    """That purges were meant for."""
    refused: int = 0
    """That were not stored: because more waited to be written than may, or there was no room."""
    errors: int = 0

    def add(self, other: "DiskMeter") -> None:
        """Count what another process counted, too."""
        for name in ("hits", "stored", "evicted", "purged", "refused", "errors"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
