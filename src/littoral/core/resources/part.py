"""What documents of every kind are made of."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Tier = Literal["device", "site", "region", "cloud"]
Name = Annotated[str, Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="A DNS label")]
Address = Annotated[
    str, Meta(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$", description='"host:port"; port 0 takes a free one')
]
Duration = Annotated[str, Meta(pattern=r"^\d+(ms|s|m|h|d)$", description='A whole number and a unit: "250ms", "5m"')]
Bytes = Annotated[str, Meta(pattern=r"^\d+(B|KiB|MiB|GiB)?$", description='A whole number and a unit: "64MiB"')]


class Part(Struct, forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True):
    """A part of a document: unknown fields are errors, names are camelCase outside and snake_case inside."""


class Metadata(Part, frozen=True):
    """What every document says of itself."""

    name: Name
    labels: dict[str, str] = {}


class Placement(Part, frozen=True):
    """The nodes an app, rule or namespace belongs on: all that match every list given. An empty list matches all."""

    tiers: list[Tier] = []
    nodes: list[Name] = []
    labels: dict[str, str] = {}


class RouteMatch(Part, frozen=True):
    """Requests an app answers. The longest path wins; a host beats no host."""

    path: Annotated[str, Meta(pattern="^/")] = "/*"
    """A path; a "*" at its end matches any rest."""
    host: str | None = None
    methods: list[Annotated[str, Meta(pattern="^[A-Z]+$")]] = []
    """Empty for all."""
