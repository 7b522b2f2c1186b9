"""Keeps a node's certificate good: renews it in time, and whenever those above do not take the node to be where it is."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING

from littoral.core.backoff import Backoff
from littoral.core.errors import LittoralError
from littoral.core.http import Request
from littoral.core.limits import RETRY_DELAY_MS
from littoral.node.enrolment import JOIN_CA, JOIN_TIMEOUT_S, join_url_of, renew, root_identity

if TYPE_CHECKING:
    from littoral.node.hub import Hub

RENEWAL_CHECK_S = 3600.0
TIME_CHECK_S = 300.0
"""While there is no session with the parent."""


class CertificateKeeper:
    """Of one hub."""

    def __init__(self, hub: "Hub") -> None:
        """hub: with its identity, uplink and subtree made."""
        self._hub = hub

    def work(self) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
        """What is to run as long as the node does, by name."""
        yield "renewal", self._renew_in_time()
        if self._hub.uplink is not None:
            yield "key", self._show_key()

    async def _renew(self) -> None:
        if self._hub.config.spec.parent is None:
            self._hub.identity = root_identity(self._hub.config, self._hub.identity, self._hub.seams)[0]
        else:
            self._hub.identity = await renew(self._hub.config, self._hub.identity, self._hub.seams)
        self._hub.seams.renewed(self._hub.identity)

    async def _show_key(self) -> None:
        """To all above, by a renewal, whenever they do not take this node to be where it is."""
        unproved = self._hub.subtree.unproved
        backoff = Backoff(self._hub.seams.random, self._hub.limits[RETRY_DELAY_MS])
        while True:
            await unproved.wait()
            unproved.clear()
            try:
                await self._renew()
            except LittoralError as error:
                self._hub.warn(str(error))
                await asyncio.sleep(backoff.next_delay_s())
                unproved.set()
            else:
                backoff.reset()

    async def _renew_in_time(self) -> None:
        backoff = Backoff(self._hub.seams.random, self._hub.limits[RETRY_DELAY_MS])
        while True:
            wait_s = RENEWAL_CHECK_S
            if self._hub.identity.needs_renewal(self._hub.seams.clock.wall_ms()):
                try:
                    await self._renew()
                except LittoralError as error:
                    self._hub.warn(str(error))
                    if not self._is_connected() or self._hub.identity.expired(self._hub.seams.clock.wall_ms()):
                        # Until it is renewed no neighbour talks to this node; perhaps that is why there is no session.
                        wait_s = backoff.next_delay_s()
                else:
                    backoff.reset()
            elif not self._is_connected():
                # A clock that is far behind does not see that the certificate has ended.
                wait_s = TIME_CHECK_S
                await self._hear_time()
            await asyncio.sleep(wait_s)

    def _is_connected(self) -> bool:
        return self._hub.uplink is None or self._hub.uplink.state.connected

    async def _hear_time(self) -> None:
        """Ask the parent's join listener something: it says what time it is, and asks for no certificate."""
        if (join_url := join_url_of(self._hub.config, self._hub.identity)) is not None:
            with contextlib.suppress(LittoralError):
                await self._hub.seams.joining(self._hub.identity.ca_pem).request(
                    join_url, Request("GET", JOIN_CA), JOIN_TIMEOUT_S
                )
