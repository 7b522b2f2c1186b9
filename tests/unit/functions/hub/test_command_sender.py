"""Commands to the zygote, and the descriptors that go with them, over a real socket."""

import asyncio
import os
import socket

from littoral.functions.hub.command_sender import CommandSender
from littoral.functions.zygote.hub_connection import DESCRIPTORS, READ_BYTES
from littoral.wire.frames import FrameReader

BODIES = [b"%d " % number + bytes(1 << 20 if number == 7 else 0) for number in range(500)]
"""More than the socket's buffer holds, and one that it does not hold by itself."""
DEADLINE_S = 30


def test_each_command_arrives_in_turn_with_its_descriptor_by_a_peer_that_reads_late() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        sender = CommandSender(ours.fileno(), asyncio.get_running_loop())
        for number, body in enumerate(BODIES):
            sender.send(body, b"spec %d" % number if number % 3 else b"")
        reader, bodies, specs = FrameReader(1 << 21), list[bytes](), list[bytes]()
        theirs.setblocking(False)
        while len(bodies) < len(BODIES):
            await asyncio.sleep(0)
            try:
                data, descriptors, _, _ = socket.recv_fds(theirs, READ_BYTES, DESCRIPTORS)
            except BlockingIOError:
                continue
            for descriptor in descriptors:
                specs.append(os.pread(descriptor, 100, 0))
                os.close(descriptor)
            bodies += reader.feed(data)
            assert len(specs) >= sum(number % 3 > 0 for number in range(len(bodies))), "it is there when its command is"
        sender.close()
        ours.close()
        theirs.close()
        assert bodies == BODIES
        assert specs == [b"spec %d" % number for number in range(len(BODIES)) if number % 3]

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
