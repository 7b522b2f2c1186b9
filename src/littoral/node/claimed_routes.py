"""Whether two resources of the desired state claim the same requests, before they become desired. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from littoral.core.errors import Conflict
from littoral.core.resources import App, Route
from littoral.core.resources.part import Placement
from littoral.fleet.desired import Deployable, DesiredRecord, Wanted, resource_of
from littoral.gateway.routes import Claim, claims
from littoral.node.gateway_config import app_routes, route_matches

_KINDS = (App.__name__, Route.__name__)


def check_claims(records: Sequence[DesiredRecord], wanted: Callable[[], Mapping[str, Wanted]]) -> None:
    """Refuse records that would claim what another resource claims on the same nodes: one of the two could not be served, and to say so
    only there would be late. wanted: gives the desired state that they come on top of, by "Kind/name"; asked if it matters.

    Where placements only may have nodes in common (by labels, for example), nothing is refused: each node says what it cannot serve, and
    goes on with what it serves already. Raises Conflict.
    """
    if not any(each.document is not None and each.kind in _KINDS for each in records):
        return
    new: dict[str, Deployable] = {}
    after = {key: each.resource for key, each in wanted().items()}
    for record in records:
        if record.document is None:
            after.pop(record.key, None)
            new.pop(record.key, None)
        else:
            after[record.key] = new[record.key] = resource_of(record)
    claimed: dict[Claim, list[tuple[str, Placement]]] = {}
    for key, each in after.items():
        for claim, placement in _claims(each):
            claimed.setdefault(claim, []).append((key, placement))
    for key, each in new.items():
        for claim, placement in _claims(each):
            for other, elsewhere in claimed[claim]:
                if other != key and (_covers(placement, elsewhere) or _covers(elsewhere, placement)):
                    raise _conflict(key, other, claim)


def _claims(resource: Deployable) -> Iterator[tuple[Claim, Placement]]:
    match resource:
        case App():
            routes = app_routes(resource.metadata.name, resource.spec.routes)
        case Route():
            routes = route_matches(resource.metadata.name, resource.spec.match)
        case _:
            return
    for route in routes:
        for claim in claims(route):
            yield claim, resource.spec.placement


def _covers(wide: Placement, narrow: Placement) -> bool:
    """Whether what is placed as `narrow` is on no node on which what is placed as `wide` is not."""
    return (
        (not wide.tiers or (bool(narrow.tiers) and set(narrow.tiers) <= set(wide.tiers)))
        and (not wide.nodes or (bool(narrow.nodes) and set(narrow.nodes) <= set(wide.nodes)))
        and wide.labels.items() <= narrow.labels.items()
    )


def _conflict(key: str, other: str, claim: Claim) -> Conflict:
    cause = f"{other} answers {claim.text} on the same nodes"
    remedy = (
        f"Give one of them routes of its own (`routes` in wrangler.jsonc, spec.routes or spec.match in YAML), "
        f"or `littoral resource delete {other}`"
    )
    return Conflict("apply", key, cause, remedy)
