"""A site whose store was set back to a backup gets back from its parent what it lacks, and puts aside what it wrote in
its place."""

from functools import partial

from littoral.core.names import StreamName
from littoral.node.hub import Hub
from littoral.store.transaction import Transaction
from littoral.testing.crash import Crash
from littoral.testing.supervision import insist
from littoral.testing.tree import SimNode
from tests.support.restoring import backed_up, restored
from tests.support.stores import append, name

NOTES, ASIDE, LATER = name("plant-a/notes"), name("plant-a/quarantine/notes"), name("plant-a/later")


async def restore(crash: Crash) -> None:
    """In the end both hold the same: all that the parent had, what was written in its place, and what came after."""
    tree = crash.tree()
    root = tree.add("cloud", "cloud", None, status_interval="1h")
    site = tree.add("plant-a", "site", root, status_interval="1h", limits={"read_bytes": 200})
    supervisor = crash.supervise(tree)
    await supervisor.until(lambda: root.hub is not None and site.hub is not None)
    await site.running.store.submit(append(NOTES, b"0", b"1"))
    await supervisor.until(lambda: len(_records(root, NOTES)) == 2)
    supervisor.leave(site)
    data = await backed_up(site)
    for number in range(2, 8):
        await site.running.store.submit(append(NOTES, b"%d" % number * 40))
    await site.running.store.submit(append(LATER, b"later"))
    await supervisor.until(lambda: len(_records(root, NOTES)) == 8 and _records(root, LATER))
    theirs = _records(root, NOTES)
    link = tree.network.link("plant-a", root.peer_url)
    link.cut()
    await restored(site, data)
    await site.start()
    await site.running.store.submit(append(NOTES, b"other", b"another"))
    crash.count_from_here()
    supervisor.watch(site)
    link.restore()
    await supervisor.until(lambda: _records(root, ASIDE) and _records(site, NOTES) == theirs)
    for text in (b"after", b"and after"):
        await insist(site, partial(_append_once, text=text))
        await supervisor.until(partial(_has, root, text))
    expected = [*theirs, b"after", b"and after"], [b"other", b"another"], [b"later"]
    await supervisor.until(lambda: _held(root) == _held(site) == expected)


def _held(node: SimNode) -> tuple[list[bytes], ...]:
    return tuple(_records(node, stream) for stream in (NOTES, ASIDE, LATER))


async def _append_once(hub: Hub, text: bytes) -> None:
    def job(tx: Transaction) -> None:
        if tx.get_state("test", text.decode()) is None:
            tx.put_state("test", text.decode(), b"")
            tx.append(NOTES, [text])

    await hub.store.submit(job)


def _has(node: SimNode, text: bytes) -> bool:
    return text in _records(node, NOTES)


def _records(node: SimNode, stream: StreamName) -> list[bytes]:
    return node.records(str(stream)) if node.hub is not None else []
