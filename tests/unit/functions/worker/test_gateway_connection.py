"""What a worker keeps of the requests of one gateway."""

import asyncio

import msgspec
import pytest

from littoral.functions.messages import Call
from littoral.functions.worker.gateway_connection import GatewayConnection
from littoral.functions.worker.running import Running


class Worker:
    """Implements `littoral.functions.worker.gateway_connection.Calls`."""

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits
        self.begun: list[Running] = []

    def start(self, call: Call, gateway: GatewayConnection) -> Running:
        running = Running(1e9)
        running.started = True
        if self.waits:
            running.task = asyncio.get_running_loop().create_task(asyncio.sleep(1e9))
        self.begun.append(running)
        return running

    def gateway_opened(self, gateway: GatewayConnection) -> None:
        pass

    def gateway_lost(self, gateway: GatewayConnection) -> None:
        pass


@pytest.mark.parametrize("waits", [False, True], ids=["answered at once", "waits"])
def test_a_gateway_that_goes_ends_what_it_waits_for_and_nothing_else(waits: bool) -> None:
    async def scenario() -> None:
        worker = Worker(waits=waits)
        connection = GatewayConnection(worker, 1 << 20)
        connection.received(msgspec.msgpack.encode(Call(1, "GET", "http://edge.test/")))
        connection.lost()
        (running,) = worker.begun
        assert running.is_gone is waits
        if running.task is not None:
            with pytest.raises(asyncio.CancelledError):
                await running.task

    asyncio.run(scenario())
