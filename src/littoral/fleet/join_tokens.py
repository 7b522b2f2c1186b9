"""The join tokens that a node has given out. Kept in the store's state, scope `join-tokens`: hash of the secret ->
JoinTokenRecord."""

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import LimitReached
from littoral.core.limits import TOKENS, Limits
from littoral.core.random import Random
from littoral.security.enrolment import ChildRecord, EnrolRequest, authorise_enrolment
from littoral.security.join import JoinTokenRecord, create_token, hash_secret, known_token
from littoral.store.store import Store
from littoral.store.transaction import Transaction

_SCOPE = "join-tokens"


class JoinTokens:
    """Of one node."""

    def __init__(self, store: Store, clock: Clock, random: Random, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._limits = limits

    async def create(self, node: str, join_url: str, ca_fingerprint: bytes, ttl_ms: int) -> str:
        """A join token for a child named `node`. Raises InvalidInput, LimitReached."""
        now_ms = self._clock.wall_ms()
        text, record = create_token(
            node=node,
            parent=self._store.node,
            join_url=join_url,
            ca_fingerprint=ca_fingerprint,
            ttl_ms=ttl_ms,
            now_ms=now_ms,
            random=self._random,
        )
        most = self._limits[TOKENS]

        def put(tx: Transaction) -> None:
            waiting = 0
            for key, value in tx.state(_SCOPE).items():
                if msgspec.msgpack.decode(value, type=JoinTokenRecord).expires_ms < now_ms:
                    tx.put_state(_SCOPE, key, None)
                else:
                    waiting += 1
            if waiting >= most:
                self._limits.hit(TOKENS)
                raise LimitReached(
                    "create join token for",
                    node,
                    f"{waiting} tokens have not expired yet, the limit {TOKENS.name}",
                    "Wait until some have expired, or give new ones less time to live",
                )
            tx.put_state(_SCOPE, record.secret_hash.hex(), msgspec.msgpack.encode(record))

        await self._store.submit(put)
        return text

    def check_known(self, request: EnrolRequest) -> None:
        """Whether the token was given out, before strangers' requests are parsed, or take a place in the writer's queue.
        Raises as `known_token`."""
        held = self._store.state_value(_SCOPE, hash_secret(request.secret).hex())
        known_token(_record(held), secret=request.secret, node=request.node)

    async def use(self, request: EnrolRequest, child: ChildRecord | None) -> None:
        """Authorise an enrolment and note that its token is used. child: what is known of a node by that name. Raises as
        `authorise_enrolment`."""
        key, now_ms = hash_secret(request.secret).hex(), self._clock.wall_ms()

        def use(tx: Transaction) -> None:
            used = authorise_enrolment(request, _record(tx.get_state(_SCOPE, key)), child, now_ms)
            tx.put_state(_SCOPE, key, msgspec.msgpack.encode(used))

        await self._store.submit(use)


def _record(held: bytes | None) -> JoinTokenRecord | None:
    return msgspec.msgpack.decode(held, type=JoinTokenRecord) if held else None
