"""`kind: Namespace`."""

from typing import Literal

from msgspec import Struct

from littoral.core.resources.part import Duration, Metadata, Part, Placement


class NamespaceSpec(Part, frozen=True):
    """A key-value namespace."""

    mode: Literal["replicated", "read-through"] = "replicated"
    """replicated: the nodes in `placement`, and those between them and the root, hold all of it.
    read-through: kept at the root; other nodes fetch through their parent and cache on the way down."""
    placement: Placement = Placement()
    cache_ttl: Duration = "60s"
    """read-through: how long a fetched value may be served without asking again."""


class Namespace(
    Struct, tag_field="kind", tag="Namespace", forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True
):
    """Where key-value data lives."""

    api_version: Literal["littoral/v1"]
    metadata: Metadata
    spec: NamespaceSpec = NamespaceSpec()
