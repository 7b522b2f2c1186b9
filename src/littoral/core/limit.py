"""What one limit is, and how it is declared: in `littoral.core.limits`, or in the file of its theme that is imported there."""

from typing import Literal

import msgspec

KIB, MIB = 1 << 10, 1 << 20

Policy = Literal["reject", "drop-oldest", "spill", "wait", "close", "kill"]


class Limit(msgspec.Struct, frozen=True):
    """One bound."""

    name: str
    default: int
    unit: str
    policy: Policy
    """What happens at the bound."""
    reason: str
    maximum: int | None = None
    """The most a node may set it to; None for any. For what other nodes have to be able to read."""

    least: int = 1
    """The least that a node may set it to; 0 where there may be none of it at all."""

    @property
    def most(self) -> int:
        """Of a limit that has a maximum."""
        assert self.maximum is not None, self.name
        return self.maximum


class Declarations(dict[str, Limit]):
    """Limits by name, in the order in which they were declared."""

    def declare(
        self,
        name: str,
        default: int,
        unit: str,
        policy: Policy,
        reason: str,
        *,
        maximum: int | None = None,
        least: int = 1,
    ) -> Limit:
        """One more."""
        assert name not in self, name
        self[name] = limit = Limit(name, default, unit, policy, reason, maximum, least)
        return limit

    def include(self, others: "Declarations") -> None:
        """Those of another file."""
        assert not self.keys() & others.keys(), self.keys() & others.keys()
        self.update(others)
