"""An operator moves a site or a region to another parent: stop, another parent in the document, a token of that parent's, start."""

from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.world import World
from littoral.testing.tree import SimNode


async def move(world: World, event: Event) -> None:
    """Move a node below another, with all that are below it. Nothing that it was told may be lost by it, and nothing come twice: the other checks
    see to that, for they look at all that are above it in the end."""
    node = world.node(event.target)
    others = [each.name for each in world.plan.nodes if each.tier != "site" and _may_be_below(world, node, each.name)]
    if not others:
        return
    parent = world.node(world.chance(event).choice(others))
    world.note(node.name, "work", f"an operator moves it below {parent.name}", event)
    async with world.in_hand(node):
        # Where its store was lost meanwhile, its parent is the one that has what it lacks.
        if world.lost == node.name or not _may_be_below(world, node, parent.name):
            return
        world.move(node, parent)
    await world.let_in(node)
    world.recoveries["node moved to another parent"] += 1


def _may_be_below(world: World, node: SimNode, parent: str) -> bool:
    """Whether a node can be moved there: not where it is, nor below itself."""
    return world.parents[node.name] not in ("", parent) and not world.is_below(parent, node.name)
