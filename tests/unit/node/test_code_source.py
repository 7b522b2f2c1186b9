"""Code of apps on its way through a tree, and away again; and what a root can go back to."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from littoral.core.errors import LittoralError
from littoral.core.http import Request, Response
from littoral.core.resources import App
from littoral.fleet.bundles import pack_bundle
from littoral.fleet.code_parts import CodePart, pack_part
from littoral.fleet.desired import DesiredRecord, record_of
from littoral.testing.loop import run
from littoral.testing.tree import SimNode, SimTree
from littoral.wire.problem import problem_response

DOCUMENT = {"kind": "App", "apiVersion": "littoral/v1", "metadata": {"name": "shop"}, "spec": {"main": "main.py"}}
APP = msgspec.convert(DOCUMENT, App)
SETTLED_S = 60.0
Tree = Callable[[SimTree, SimNode, SimNode], Awaitable[None]]


def play(story: Tree, seed: int) -> None:
    async def main() -> None:
        tree = SimTree(seed)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        await story(tree, root, site)
        await tree.stop()

    run(main, seed=seed)


async def call(node: SimNode, method: str, path: str, body: bytes = b"") -> Response:
    hub = node.running
    fields = {"authorization": f"Bearer {hub.operator_token}", "host": "here"}
    try:
        answer = await hub.operator_api.handle(Request(method, path, {}, fields, body))
    except LittoralError as error:
        return problem_response(error)
    assert isinstance(answer, Response)
    return answer


async def said(node: SimNode, method: str, path: str, body: object = None) -> Any:
    answer = await call(node, method, path, b"" if body is None else json.dumps(body).encode())
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


async def put(node: SimNode, blob: bytes) -> None:
    assert (await call(node, "PUT", "/v1/blobs", blob)).status == 201


async def apply(root: SimNode, *records: DesiredRecord) -> Response:
    return await call(root, "POST", "/v1/resources", msgspec.msgpack.encode(list(records)))


def revision(number: int, *, blob: bool = True) -> tuple[DesiredRecord, CodePart, bytes]:
    """One with a part that is a blob, of its own."""
    part, data = pack_part("shop", "packages", {"lib.py": b"x = %d\n" % number})
    bundle = pack_bundle("shop", {"main.py": b"y = %d\n" % number})
    return record_of(APP, bundle, [part] if blob else []), part, data


def here(node: SimNode, part: CodePart) -> bool:
    row = node.running.blobs.row(part.digest)
    return row is not None and row.complete


def test_a_record_is_not_applied_before_its_code_is_there():
    async def story(tree: SimTree, root: SimNode, site: SimNode) -> None:
        record, part, blob = revision(1)
        refused = await apply(root, record)
        assert refused.status == 409
        assert b"is not here" in refused.body
        assert b"Run the same command again" in refused.body
        await put(root, blob)
        assert (await apply(root, record)).status == 200
        # Of another size than it says, it is another one.
        wrong = record_of(APP, record.bundle, [msgspec.structs.replace(part, bytes=part.bytes + 1)])
        assert (await apply(root, wrong)).status == 409

    play(story, 1)


def test_a_node_fetches_code_and_drops_it_when_no_app_needs_it():
    async def story(tree: SimTree, root: SimNode, site: SimNode) -> None:
        record, part, blob = revision(1)
        await put(root, blob)
        await put(site, b"an operator's own")
        await apply(root, record)
        await tree.until(lambda: "App/shop" in site.running.desired.wanted)
        await site.running.code.fetch(part)
        assert site.running.code.open(part).read(1 << 20) == blob
        later, _, other = revision(2)
        await put(root, other)
        await apply(root, later)
        await asyncio.sleep(SETTLED_S)
        assert not here(site, part)
        # The root can still go back to it.
        assert here(root, part)
        await apply(root, DesiredRecord("App", "shop", "", None))
        await asyncio.sleep(SETTLED_S)
        assert not here(root, part)
        assert site.running.blobs.count == 1

    play(story, 2)


def test_a_fetch_goes_on_after_the_link_was_cut():
    async def story(tree: SimTree, root: SimNode, site: SimNode) -> None:
        record, part, blob = revision(1)
        await put(root, blob)
        await apply(root, record)
        await tree.until(lambda: "App/shop" in site.running.desired.wanted)
        link = tree.network.link("plant-a", root.peer_url)
        link.cut(reset=True)
        fetch = asyncio.ensure_future(site.running.code.fetch(part))
        await asyncio.sleep(SETTLED_S)
        assert not here(site, part)
        link.restore()
        while not here(site, part):
            if fetch.done():
                fetch = asyncio.ensure_future(site.running.code.fetch(part))
            await asyncio.sleep(1)
        await asyncio.gather(fetch, return_exceptions=True)

    play(story, 3)


def test_going_back():
    async def story(tree: SimTree, root: SimNode, site: SimNode) -> None:
        records = [revision(number, blob=False)[0] for number in range(13)]
        for record in records:
            assert (await apply(root, record)).status == 200
            await asyncio.sleep(1)
        kept = await said(root, "GET", "/v1/apps/shop/revisions")
        assert [each["revision"] for each in kept] == [each.revision for each in reversed(records[-10:])]
        assert [each["is_desired"] for each in kept] == [True] + [False] * 9
        back = await said(root, "POST", "/v1/apps/shop/rollback", {})
        assert back == {"revision": records[-2].revision, "before": records[-1].revision}
        await asyncio.sleep(1)
        assert (await said(root, "GET", "/v1/apps"))[0]["revision"] == records[-2].revision
        # The one before that is the one that was gone back from.
        assert (await said(root, "POST", "/v1/apps/shop/rollback", {}))["revision"] == records[-1].revision
        await asyncio.sleep(1)
        first = records[3].revision
        assert (await said(root, "POST", "/v1/apps/shop/rollback", {"revision": first[:9]}))["revision"] == first
        assert (await call(root, "POST", "/v1/apps/shop/rollback", b'{"revision": "zz"}')).status == 404
        assert (await call(root, "POST", "/v1/apps/lost/rollback", b"{}")).status == 404
        assert (await call(site, "POST", "/v1/apps/shop/rollback", b"{}")).status == 409

    play(story, 4)
