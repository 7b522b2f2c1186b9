"""Which nodes a resource belongs on."""

from collections.abc import Mapping

from littoral.core.resources.part import Placement, Tier


def placement_matches(placement: Placement, *, tier: Tier, node: str, labels: Mapping[str, str]) -> bool:
    """Whether a node with this tier, name and labels is meant.

    Each criterion that says something must hold; an empty one says nothing. Of `tiers` and `nodes` one entry must
    match, of `labels` all must be there with the same value.
    """
    if placement.tiers and tier not in placement.tiers:
        return False
    if placement.nodes and node not in placement.nodes:
        return False
    return all(labels.get(name) == value for name, value in placement.labels.items())
