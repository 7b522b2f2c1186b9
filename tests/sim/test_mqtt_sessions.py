"""A node keeps what its broker's clients are owed, whether it is stopped or its power goes."""

import pytest

from littoral.testing.loop import run
from littoral.testing.tree import SimTree
from tests.support.mqtt_peer import MemoryWay, Peer


@pytest.mark.parametrize("orderly", [True, False])
def test_a_node_keeps_sessions_queues_and_retained_messages(seed: int, *, orderly: bool):
    async def main() -> None:
        tree = SimTree(seed)
        node = await tree.start_root("plant")
        writer, reader, late = Peer("writer", 5), Peer("reader", 5, "t"), Peer("late", 4, "t", qos=1)

        async def connected(peer: Peer) -> None:
            peer.connect(MemoryWay(node.running.broker, peer))
            await tree.until(lambda: peer.idle)

        await connected(writer)
        await connected(reader)
        writer.publish("t", b"1", 2, retain=True)
        await tree.until(lambda: reader.payloads == [b"1"] and writer.idle and reader.idle)
        reader.leave()
        writer.publish("t", b"2", 2, retain=True)
        await tree.until(lambda: writer.idle)
        writer.leave()
        if orderly:
            await node.switch_off()
        else:
            node.cut_power()
        await node.start()
        await connected(reader)
        await connected(late)
        await tree.until(lambda: reader.payloads == [b"1", b"2"] and late.payloads == [b"2"])
        assert reader.faults == []
        # What a client has acknowledged is off the disk soon.
        store = node.running.store
        await tree.until(lambda: not list(store.mqtt.messages()) and not store.mqtt.sent())
        await tree.stop()

    run(main, seed)
