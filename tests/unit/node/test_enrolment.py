"""Joining and renewing, in virtual time: what the two join APIs and the peer API have to do with it."""

import asyncio
import base64
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from littoral.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    PeerUnreachable,
    StartupError,
    Unauthenticated,
)
from littoral.core.http import Request
from littoral.node.certificate_keeper import RENEWAL_CHECK_S
from littoral.node.enrolment import JOIN_CA, JOIN_ENROL, JOIN_RENEW
from littoral.node.signing import SIGN
from littoral.security.ca import CERTIFICATE_DAYS
from littoral.security.enrolment import SignedRecord, SignRequest
from littoral.security.identity import NodeKey
from littoral.security.join import parse_token
from littoral.security.keys import new_key
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire import peer
from tests.support.neighbours import uplink_of

DAY_S = 86_400


def play(story: Callable[[SimTree, SimNode], Awaitable[None]], seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        await story(tree, await tree.start_root("cloud"))
        await tree.stop()

    run(main, seed=seed, limit_s=200 * DAY_S)


def test_a_node_enrols_through_a_region_that_has_no_ca(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        region = await tree.start_child("eu", "region", root)
        site = await tree.start_child("plant-a", "site", region)
        await tree.until(lambda: uplink_of(site).state.connected)
        assert site.running.identity.facts.parent == "eu"
        assert site.running.identity.ca_pem == root.running.identity.ca_pem
        assert root.running.registry.may_write("eu", "plant-a")

    play(story, seed)


def test_a_node_without_identity_and_token_says_what_to_do(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        node = tree.add("plant-a", "site", root)
        with pytest.raises(StartupError, match="Run `littoral token create plant-a` at the parent"):
            await node.start()

    play(story, seed)


def spoilt(text: str, **changes: object) -> str:
    changed = msgspec.structs.replace(parse_token(text), **changes)
    return "lt1." + base64.urlsafe_b64encode(msgspec.msgpack.encode(changed)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda text: text[:-6], InvalidInput, "read join token"),
        (lambda text: "garbage", InvalidInput, 'does not begin with "lt1."'),
        (lambda text: spoilt(text, ca_fingerprint=b"x" * 32), Unauthenticated, "another tree"),
        (lambda text: spoilt(text, secret=b"x" * 32), Unauthenticated, "it is unknown here"),
        (lambda text: spoilt(text, node="plant-b"), StartupError, "is for node plant-b"),
    ],
)
def test_a_token_that_does_not_do(spoil: Callable[[str], str], error: type[Exception], said: str, seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        node = tree.add("plant-a", "site", root)
        with pytest.raises(error, match=said):
            await node.start(spoil(await tree.token(root, "plant-a")))
        assert node.disk.read("identity/cert.pem") is None

    play(story, seed)


def test_a_token_lets_one_machine_in(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        token = await tree.token(root, "plant-a")
        await tree.add("plant-a", "site", root).start(token)
        first = tree.nodes["plant-a"]
        thief = tree.add("plant-a", "site", root)
        thief.random = tree.random.fork("thief")
        with pytest.raises(Conflict, match="was used already"):
            await thief.start(token)
        tree.nodes["plant-a"] = first

    play(story, seed)


def test_a_lost_answer_is_asked_for_again_with_the_same_token(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        token = await tree.token(root, "plant-a")
        node = tree.add("plant-a", "site", root)
        link = tree.network.link("plant-a", root.join_url)
        handler = root.running.join_api.handle

        async def answers_are_lost(request: Request):
            response = await handler(request)
            if request.path == JOIN_ENROL:
                link.cut("responses")
            return response

        tree.network.serve(root.join_url, answers_are_lost)
        with pytest.raises(PeerUnreachable):
            await node.start(token)
        assert root.running.registry.child("plant-a") is not None
        link.restore()
        tree.network.serve(root.join_url, handler)
        await node.start(token)
        await tree.until(lambda: uplink_of(node).state.connected)

    play(story, seed)


def test_a_root_that_runs_on_renews_its_own_certificate(seed: int):
    async def main() -> None:
        tree = SimTree(seed)
        root = tree.add("cloud", "cloud", None)
        spec = msgspec.structs.replace(root.config.spec, status_interval="1d")
        root.config = msgspec.structs.replace(root.config, spec=spec)
        await root.start()
        before = root.running.identity.serial
        root.clock.step(70 * DAY_S * 1000)
        await asyncio.sleep(RENEWAL_CHECK_S + 1)
        assert root.running.identity.serial != before
        assert not root.running.identity.needs_renewal(root.clock.wall_ms())
        await tree.stop()

    run(main, seed=seed)


def test_an_expired_node_renews_by_its_key_when_it_comes_back(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        site = await tree.start_child("plant-a", "site", root)
        before = site.running.identity.serial
        root_certificate = root.disk.read("identity/cert.pem")
        site.kill()
        root.kill()
        await asyncio.sleep((CERTIFICATE_DAYS + 5) * DAY_S)
        await root.start()
        assert root.disk.read("identity/cert.pem") != root_certificate
        await site.start()
        await tree.until(lambda: site.running.identity.serial != before)
        await tree.until(lambda: uplink_of(site).state.connected)

    play(story, seed)


def test_an_expired_node_starts_without_its_parent_and_renews_soon_after_it_can(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        site = await tree.start_child("plant-a", "site", root)
        before = site.running.identity.serial
        site.kill()
        root.kill()
        await asyncio.sleep((CERTIFICATE_DAYS + 5) * DAY_S)
        await root.start()
        link = tree.network.link("plant-a", root.join_url)
        link.cut(reset=True)
        await site.start()
        site.device("press-1").connect()
        await asyncio.sleep(2 * RENEWAL_CHECK_S)
        assert site.running.identity.serial == before
        link.restore()
        await tree.until(lambda: site.running.identity.serial != before, limit_s=60)

    play(story, seed)


def test_a_new_token_lets_a_node_join_anew_though_it_has_an_identity(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        first = await tree.token(root, "plant-a")
        site = tree.add("plant-a", "site", root)
        await site.start(first)
        before = site.running.identity.serial
        site.kill()
        await site.start(first)
        assert site.running.identity.serial == before, "it has shown this one"
        site.kill()
        other = tree.add("berlin", "cloud", None)
        await other.start()
        site.config = tree.add("plant-a", "site", other).config
        tree.nodes["plant-a"] = site
        await site.start(await tree.token(other, "plant-a"))
        assert site.running.identity.facts.parent == "berlin"
        await tree.until(lambda: uplink_of(site).state.connected)

    play(story, seed)


def test_a_token_that_does_not_do_leaves_a_node_the_identity_it_has(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        site = await tree.start_child("plant-a", "site", root)
        before = site.running.identity.serial
        for spoilt_by in ({"secret": b"x" * 32}, {"ca_fingerprint": b"x" * 32}, {}):
            token = spoilt(await tree.token(root, "plant-a"), **spoilt_by)
            site.kill()
            link = tree.network.link("plant-a", root.join_url)
            if not spoilt_by:
                link.cut(reset=True)
            await site.start(token)
            assert site.running.identity.serial == before
            link.restore()
        site.kill()
        with pytest.raises(StartupError, match="is for node plant-b"):
            await site.start(spoilt(token, node="plant-b"))
        await site.start(token)
        assert site.running.identity.serial != before

    play(story, seed)


@pytest.mark.parametrize("claimed", ["plant-b", "cell-9", "plant-a", "eu", "cloud"])
def test_a_child_gets_no_certificate_in_the_name_of_a_node_that_is_not_below_it(claimed: str, seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        region = await tree.start_child("eu", "region", root)
        site = await tree.start_child("plant-a", "site", region)
        other = await tree.start_child("plant-b", "site", region)
        await tree.start_child("cell-9", "device", other)
        key = NodeKey(new_key(site.random))
        request = peer.encode(SignRequest(node=claimed, csr_pem=key.request(claimed)))
        with pytest.raises(Forbidden, match="plant-a may not"):
            await uplink_of(site).call("POST", SIGN, request)
        registry = region.running.registry
        assert registry.may_write("plant-a", claimed) is (claimed == "plant-a")
        await tree.start_child("cell-1", "device", site)
        assert registry.may_write("plant-a", "cell-1")

    play(story, seed)


@pytest.mark.parametrize(("said", "kept"), [("plant-a", "plant-a"), ("plant-b", ""), ("eu", "")])
def test_a_child_cannot_say_that_a_node_is_its_siblings(said: str, kept: str, seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        region = await tree.start_child("eu", "region", root)
        site = await tree.start_child("plant-a", "site", region)
        await tree.start_child("plant-b", "site", region)
        request = SignRequest(node="cell-1", csr_pem=NodeKey(new_key(site.random)).request("cell-1"), at=said)
        await uplink_of(site).call("POST", SIGN, peer.encode(request))
        signed = root.running.store.state_value("signed", "cell-1")
        assert signed is not None
        assert msgspec.msgpack.decode(signed, type=SignedRecord).at == kept

    play(story, seed)


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("POST", JOIN_CA, MethodNotAllowed),
        ("GET", JOIN_ENROL, MethodNotAllowed),
        ("DELETE", JOIN_RENEW, MethodNotAllowed),
        ("GET", "/", NotFound),
        ("POST", peer.BATCHES, NotFound),
    ],
)
def test_the_join_listener_only_enrols_and_renews(method: str, path: str, error: type[Exception], seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        with pytest.raises(error):
            await root.running.join_api.handle(Request(method, path))
        with pytest.raises(InvalidInput):
            await root.running.join_api.handle(Request("POST", JOIN_ENROL, body=b"\xc1"))

    play(story, seed)


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer x.y.z", "Basic abc", "bearer " + "x" * 5000])
def test_the_peer_listener_answers_nobody_without_a_node_token(authorization: str, seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        for path in (peer.HELLO, "/v1/peer/kv", "/v1/peer/sign", "/v1/other"):
            with pytest.raises(Unauthenticated):
                await root.running.peer_api.handle(Request("POST", path, headers={"authorization": authorization}))

    play(story, seed)


def test_a_node_token_is_good_for_its_request_only_and_once(seed: int):
    async def story(tree: SimTree, root: SimNode) -> None:
        site = await tree.start_child("plant-a", "site", root)
        headers = uplink_of(site).link.headers("GET", "/v1/elsewhere")
        with pytest.raises(Unauthenticated):
            await root.running.peer_api.handle(Request("POST", peer.HELLO, headers=headers))
        with pytest.raises(NotFound):
            await root.running.peer_api.handle(Request("GET", "/v1/elsewhere", headers=headers))
        with pytest.raises(Unauthenticated):
            await root.running.peer_api.handle(Request("GET", "/v1/elsewhere", headers=headers))

    play(story, seed)
