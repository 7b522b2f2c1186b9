"""An operator moves a site to another parent: stop, another parent in the document, a token of that parent's, start."""

from littoral.testing.simulation.plan import Event
from littoral.testing.simulation.world import World


async def move(world: World, event: Event) -> None:
    """Move a site below another node. Nothing that it was told may be lost by it, and nothing come twice: the other checks
    see to that, for they look at all that are above it in the end."""
    site = world.node(event.target)
    others = [each.name for each in world.plan.nodes if each.tier != "site" and each.name != world.parents[site.name]]
    if not others:
        return
    parent = world.node(world.chance(event).choice(others))
    world.note(site.name, "work", f"an operator moves it below {parent.name}", event)
    async with world.in_hand(site):
        # Where its store was lost meanwhile, its parent is the one that has what it lacks.
        if world.lost == site.name or world.parents[site.name] == parent.name:
            return
        world.move(site, parent)
    await world.let_in(site)
    world.recoveries["node moved to another parent"] += 1
