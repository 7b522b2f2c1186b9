"""What bounds a store: the disk's room, its streams' budgets, and where more may go."""

from typing import NamedTuple

from littoral.store.budgets import Budgets
from littoral.store.room import Room
from littoral.store.spill import SpillPlace


class Bounds(NamedTuple):
    """Of one store."""

    room: Room
    budgets: Budgets
    spill: SpillPlace | None
