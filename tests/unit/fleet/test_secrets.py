"""Apps' secrets over a tree: opened where the app is placed, and in plain nowhere."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from littoral.core.errors import Conflict, Forbidden, InvalidInput, LittoralError, TooLarge, Unavailable
from littoral.core.http import Request
from littoral.core.resources import App
from littoral.core.resources.app import AppSpec
from littoral.core.resources.part import Metadata, Placement
from littoral.fleet.desired import DESIRED, SECRETS_KIND
from littoral.fleet.kv_calls import ParentCall
from littoral.fleet.secret_keys import SECRET_KEY, KeyAnswer, KeyAsk
from littoral.fleet.secrets import KEYS, SEALED, SecretDesk
from littoral.security.blob_seal import Unsealable
from littoral.security.ca import CertificateAuthority
from littoral.security.identity import NodeKey
from littoral.security.keys import new_key
from littoral.security.secret_seal import unseal_with
from littoral.store.transaction import Transaction
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire import peer
from tests.support.neighbours import uplink_of

TOKEN = "a-token-that-nobody-may-see"
SHOP = App(
    api_version="littoral/v1",
    metadata=Metadata(name="shop"),
    spec=AppSpec(main="main.py", placement=Placement(nodes=["plant-a"])),
)


def desk(root: SimNode) -> SecretDesk:
    found = root.running.secrets.api._desk
    assert found is not None
    return found


def secrets_at(node: SimNode, app: str = "shop") -> dict[str, str] | None:
    """None while they are on their way."""
    if node.hub is None:
        return None
    try:
        return node.hub.secrets.apps.of(app)[1]
    except Unavailable:
        return None


def on_disk(node: SimNode) -> bytes:
    disk = node.disk
    return b"".join(disk.read(path) or b"" for path in disk.paths())


def play(story: Callable[[SimTree, SimNode, SimNode, SimNode], Awaitable[None]], seed: int) -> None:
    """root, region, site"""

    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        region = await tree.start_child("eu", "region", root)
        site = await tree.start_child("plant-a", "site", region)
        await tree.apply(root, SHOP)
        await tree.until(lambda: all("App/shop" in each.running.desired.wanted for each in (root, region, site)))
        await story(tree, root, region, site)
        await tree.stop()

    run(main, seed=seed)


def test_a_secret_is_opened_where_its_app_is_placed_and_stands_in_plain_on_no_disk(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        assert site.running.secrets.apps.of("shop") == ("", {})
        arrived = asyncio.Event()
        site.running.secrets.apps.arrived = arrived.set
        # One right after the other: the first is not folded yet.
        await desk(root).put("shop", "TOKEN", TOKEN.encode())
        await desk(root).put("shop", "OTHER", b"another one")
        assert desk(root).names("shop") == ["OTHER", "TOKEN"]
        await tree.until(lambda: secrets_at(site) == {"TOKEN": TOKEN, "OTHER": "another one"})
        assert arrived.is_set()
        for node in (root, region, site):
            assert f"{SECRETS_KIND}/shop" in node.running.store.state(DESIRED)
            assert f"{SECRETS_KIND}/shop" not in node.running.desired.wanted
            assert TOKEN.encode() not in on_disk(node)
            assert b"OTHER" in on_disk(node), "names may be seen"
        # It is told to nobody else, not even on the way.
        assert secrets_at(region) is None
        await asyncio.sleep(60)
        apps = region.running.secrets.apps
        with pytest.raises(Unavailable, match="it is not placed on node eu. Place the app on that node"):
            apps.of("shop")
        # Nobody asks for ever for what is not for this node.
        assert list(apps._asking) == ["shop"]
        apps.only([])
        assert not apps._asking
        await asyncio.sleep(60)
        assert not any("secrets" in task.get_name() for task in region.running._tasks._running)

    play(story, seed)


def test_a_node_that_is_cut_off_opens_what_it_has_and_hears_of_changes_later(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        await desk(root).put("shop", "TOKEN", b"first")
        await tree.until(lambda: secrets_at(site) == {"TOKEN": "first"})
        before = site.running.secrets.apps.of("shop")[0]
        link = tree.network.link("plant-a", region.peer_url)
        link.cut(reset=True)
        await desk(root).put("shop", "TOKEN", b"second")
        site.kill()
        await site.start()
        assert site.running.secrets.apps.of("shop") == (before, {"TOKEN": "first"})
        link.restore()
        await tree.until(lambda: secrets_at(site) == {"TOKEN": "second"})
        assert site.running.secrets.apps.of("shop")[0] != before
        # The next key is another; who has the former one opens nothing with it.
        former = site.running.store.state_value(KEYS, "shop")
        await desk(root).delete("shop", "TOKEN")
        await tree.until(lambda: secrets_at(site) == {})
        assert site.running.secrets.apps.of("shop") == ("", {})
        await desk(root).put("shop", "TOKEN", b"third")
        await tree.until(lambda: secrets_at(site) == {"TOKEN": "third"})
        assert site.running.store.state_value(KEYS, "shop") != former

    play(story, seed)


def test_whoever_shows_another_nodes_certificate_gets_what_only_that_node_opens(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        await desk(root).put("shop", "TOKEN", TOKEN.encode())
        call: ParentCall = uplink_of(region).call
        ask = KeyAsk("shop", site.running.identity.certificate_pem)
        answer = peer.decode((await call("POST", SECRET_KEY, peer.encode(ask))).body, KeyAnswer, "key")
        with pytest.raises(Unsealable):
            unseal_with(
                region.running.identity.key.private_key, answer.sealed, b"key of the secrets of shop for plant-a"
            )
        for app, node in (("shop", region), ("none", site), ("shop", root)):
            with pytest.raises(Forbidden):
                await call("POST", SECRET_KEY, peer.encode(KeyAsk(app, node.running.identity.certificate_pem)))
        with pytest.raises(InvalidInput, match="it is no PEM"):
            await call("POST", SECRET_KEY, peer.encode(KeyAsk("shop", b"x")))

    play(story, seed)


@pytest.mark.parametrize("wrong", ["key", "authority"])
def test_a_certificate_that_is_not_the_nodes_own_gets_no_key(wrong: str, seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        await desk(root).put("shop", "TOKEN", TOKEN.encode())
        seams = site.running.seams
        authority, key = CertificateAuthority.load(root.disk), site.running.identity.key
        assert authority is not None
        if wrong == "key":
            key = NodeKey(new_key(seams.random))
        else:
            authority = CertificateAuthority.create("another", seams.clock, seams.random)
        issued = authority.sign(key.request("plant-a"), "plant-a", (), seams.clock, seams.random)
        ask = peer.encode(KeyAsk("shop", issued.certificate_pem))
        with pytest.raises(Forbidden, match="is not that of a node below eu"):
            await uplink_of(region).call("POST", SECRET_KEY, ask)

    play(story, seed)


def test_no_secret_is_asked_of_a_node_below_for_what_is_asked_is_kept_on_the_way(seed: int):
    async def story(tree: SimTree, root: SimNode, region: SimNode, site: SimNode) -> None:
        request = Request("PUT", "/v1/nodes/plant-a/api/v1/secrets/shop/TOKEN", body=TOKEN.encode())
        with pytest.raises(Forbidden, match="they are set at the root only"):
            await root.running.operator_api.answer(request)
        own = Request("PUT", "/v1/secrets/shop/TOKEN", body=TOKEN.encode())
        with pytest.raises(Conflict, match="this node is not the root. Ask the root"):
            await site.running.operator_api.answer(own)
        for node in (root, region, site):
            assert TOKEN.encode() not in on_disk(node)

    play(story, seed)


def test_what_another_identity_sealed_is_not_opened_and_can_be_set_anew(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        await desk(root).put("shop", "TOKEN", b"value")
        await tree.until(lambda: secrets_at(root) == {"TOKEN": "value"})
        await root.running.store.submit(lambda tx: Transaction.put_state(tx, KEYS, "shop", b"of another identity"))
        with pytest.raises(Conflict, match="another identity of this node sealed them"):
            root.running.secrets.apps.of("shop")
        with pytest.raises(Conflict, match="Delete them all, then set them again"):
            await desk(root).put("shop", "OTHER", b"value")
        await desk(root).delete("shop", "TOKEN")
        await desk(root).put("shop", "OTHER", b"value")
        await tree.until(lambda: secrets_at(root) == {"OTHER": "value"})
        assert list(root.running.store.state(SEALED)) == ["shop"]
        await tree.stop()

    run(main, seed=seed)


@pytest.mark.parametrize(
    ("app", "name", "value", "error", "said"),
    [
        ("shop", "TOKEN", b"", InvalidInput, "its value is empty"),
        ("shop", "TOKEN", b"\xff", InvalidInput, "no UTF-8 text"),
        ("shop", "TOKEN", b"x" * 5121, TooLarge, "5121 bytes; at most 5120 are allowed, the limit secret-bytes"),
        ("shop", "1TOKEN", b"x", InvalidInput, "does not begin with a digit"),
        ("shop", "", b"x", InvalidInput, "a secret's name"),
        ("Shop", "TOKEN", b"x", InvalidInput, "an app's name"),
        ("shop", "ONE_MORE", b"x", TooLarge, "has 2 already, the limit secrets"),
    ],
)
def test_secrets_have_bounds(app: str, name: str, value: bytes, error: type[LittoralError], said: str):
    async def main() -> None:
        tree = SimTree(1)
        root = await tree.start_root("cloud", secrets=2)
        for each in ("A", "B"):
            await desk(root).put("shop", each, b"value")
        with pytest.raises(error, match=said) as caught:
            await desk(root).put(app, name, value)
        assert value.decode("latin-1") not in str(caught.value) or len(value) < 2
        assert desk(root).names("shop") == ["A", "B"]
        await tree.stop()

    run(main)
