"""A target as a member of its pool: what is under way there, and how it does."""

from hashlib import blake2b

from littoral.gateway.origins.breaker import Breaker
from littoral.gateway.origins.health import Active, Passive
from littoral.gateway.origins.meters import TargetMeter
from littoral.gateway.origins.settings import OriginPool, Target

MARK_BYTES = 12


class Member:
    """One target, in one gateway process."""

    def __init__(self, target: Target, pool: OriginPool, meter: TargetMeter, key: bytes) -> None:
        """key: with it the marks of targets are made."""
        self.target = target
        self.weight = target.weight
        self.inflight = 0
        self.turn = 0
        """Of smooth round-robin: what it has in hand."""
        self.passive = Passive(pool.passive)
        self.active = Active(pool.active)
        self.breaker = Breaker(pool.breaking)
        self.meter = meter
        self.name = str(target.endpoint)
        said = self.name.encode()
        self.salt = int.from_bytes(blake2b(said, digest_size=8).digest())
        """What tells it from the others when keys are hashed: names may differ in their ends only."""
        self.mark = blake2b(said, digest_size=MARK_BYTES, key=key[:64]).hexdigest()
        """What a client is told to come back to it: nobody learns its address from that, or makes up one."""

    def is_well(self, now_s: float) -> bool:
        """Whether nothing at all speaks against it."""
        return self.active.is_healthy and now_s >= self.passive.ejected_until_s and self.breaker.is_closed

    def succeeded(self, now_s: float) -> None:
        """A request to it was answered."""
        self.breaker.succeeded()
        self.passive.succeeded(now_s)

    def is_healthy(self, now_s: float) -> bool:
        """Whether it should be given requests."""
        return self.active.is_healthy and not self.passive.is_ejected(now_s)
