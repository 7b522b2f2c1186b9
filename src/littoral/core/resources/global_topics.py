"""MQTT topics whose messages travel through the tree."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from littoral.core.lanes import Lane
from littoral.core.resources.check import Mistake, repeated
from littoral.core.resources.part import Metadata, Part, Placement
from littoral.core.resources.topic_filters import is_topic_filter


class GlobalTopicsSpec(Part, frozen=True):
    """Whose messages go where."""

    topics: Annotated[list[Annotated[str, Meta(min_length=1, max_length=1024)]], Meta(min_length=1)]
    """Topic filters: messages of QoS 1 and 2 on these topics travel. What is published at QoS 0 stays at its node."""
    to: Literal["root", "tree"] = "root"
    """root: to the brokers of all nodes above the one where it was published. tree: to those as well, and to those of all other nodes
    in `placement`."""
    placement: Placement = Placement()
    """The nodes whose clients' messages travel, and, with `to: tree`, the nodes that get those of others."""
    lane: Lane = "state"
    """The priority class on links."""


class GlobalTopics(
    Struct, tag_field="kind", tag="GlobalTopics", forbid_unknown_fields=True, rename="camel", frozen=True, kw_only=True
):
    """Messages between the clients of different nodes."""

    api_version: Literal["littoral/v1"]
    metadata: Metadata
    spec: GlobalTopicsSpec


def check_global_topics(spec: GlobalTopicsSpec) -> Iterator[Mistake]:
    """What its filters must satisfy beyond their types."""
    path = ("spec", "topics")
    yield from repeated(path, spec.topics, "topic filter")
    for index, each in enumerate(spec.topics):
        where = (*path, index)
        if each.startswith("$share/"):
            yield (
                where,
                f'found "{each[:80]}"; name the filter behind $share/NAME/: subscribers share at their own node',
            )
        elif each.split("/")[0] == "$SYS":
            yield where, f'found "{each[:80]}"; topics under $SYS are of one broker; republish them under another topic'
        elif not is_topic_filter(each):
            yield where, f'found "{each[:80]}"; "+" stands for a whole level and "#" for all last ones: a/+/b, a/#'
