"""The parts of a hub that have to do with apps' secrets, put together."""

from typing import TYPE_CHECKING

from littoral.core.tasks import Tasks
from littoral.fleet.secret_keys import AppSecrets, ParentSecretKeys, RootSecretKeys, SecretKeys
from littoral.fleet.secrets import KeyRing, SecretDesk
from littoral.node.secret_api import SecretApi
from littoral.security.secret_seal import own_key

if TYPE_CHECKING:
    from littoral.node.hub import Hub


class SecretParts:
    """Of one hub."""

    def __init__(self, hub: "Hub", tasks: Tasks) -> None:
        """hub: with its store, registry and uplink made."""
        store, random, limits, uplink = hub.store, hub.seams.random, hub.limits, hub.uplink
        ring = KeyRing(own_key(hub.identity.key.private_key), random)
        self.keys: SecretKeys
        if uplink is None:
            desk = SecretDesk(store, ring, limits, random)
            self.api = SecretApi(desk)
            self.keys = RootSecretKeys(
                desk, hub.registry, hub.identity, lambda: hub.desired.wanted, hub.seams.clock, random
            )
        else:
            self.api = SecretApi(None)
            self.keys = ParentSecretKeys(uplink.call)
        call = uplink.call if uplink is not None else None
        self.apps = AppSecrets(store, ring, lambda: hub.identity, call, random, limits, tasks)
