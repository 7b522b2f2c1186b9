"""Requests that change something, asked of a node below."""

from functools import partial

import msgspec

from littoral.core.errors import LittoralError
from littoral.core.names import StreamName
from littoral.node.hub import Hub
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.supervision import insist
from littoral.testing.tree import SimNode
from tests.support.asking import call

REQUESTS = 4
LOG = StreamName("plant-a", "log")
TEXT = {"content-type": "text/plain"}


async def inbox(crash: Crash) -> None:
    """What was asked is done at most once; what was answered as done was done, and what was not answered so is told apart."""
    tree = crash.tree()
    root = tree.add("cloud", "cloud", None, status_interval="1h")
    site = tree.add("plant-a", "site", root, status_interval="1h")
    spec = site.config.spec
    assert spec.parent is not None
    parent = msgspec.structs.replace(spec.parent, requests="all")
    site.config = msgspec.structs.replace(site.config, spec=msgspec.structs.replace(spec, parent=parent))
    supervisor = crash.supervise(tree)
    await supervisor.until(lambda: root.hub is not None and site.hub is not None)
    await insist(site, lambda hub: hub.store.submit(_open))
    await supervisor.until(supervisor.connected)
    crash.count_from_here()
    statuses = []
    for n in range(REQUESTS):
        await insist(root, partial(_ask, n, root))
        await supervisor.until(partial(_is_answered, root, f"k{n}"))
        statuses.append(root.running.inboxes.asking.entry(f"k{n}").status)
    await supervisor.until(lambda: site.hub is not None)  # the cut may come after its last answer
    done = site.records(str(LOG))
    assert len(done) == len(set(done)), f"done twice: {done}"
    for n, status in enumerate(statuses):
        # 204: it was done. 502: the node died over it.
        assert status in (204, 502), status
        assert status == 502 or b"%d" % n in done, f"{n} was answered as done, and is not there: {done}"
    if crash.cut is None:
        assert statuses == [204] * REQUESTS
    else:
        assert statuses.count(502) <= crash.deaths


def _open(tx: Transaction) -> None:
    tx.open_stream(LOG, content_type="text/plain")


async def _ask(n: int, root: SimNode, hub: Hub) -> None:
    """Once, whether it is asked again or not."""
    headers = {**TEXT, "prefer": "respond-async", "idempotency-key": f"k{n}", "littoral-deadline": "1d"}
    answer = await call(root, "POST", f"/v1/nodes/plant-a/api/v1/streams/{LOG}", b"%d" % n, headers)
    if answer.status != 202:
        raise LittoralError("ask", f"k{n}", f"it answered {answer.status}: {answer.body!r}")


def _is_answered(root: SimNode, id_: str) -> bool:
    return root.hub is not None and root.hub.inboxes.asking.entry(id_).status is not None
