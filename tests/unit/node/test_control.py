import asyncio
import tempfile
from pathlib import Path

import pytest

from littoral.core.errors import Conflict
from littoral.core.resources.part import RouteMatch
from littoral.core.tasks import Tasks
from littoral.functions.client import FunctionTarget
from littoral.gateway.meters import Meters
from littoral.gateway.routes import Route
from littoral.node.control import ControlClient, ControlServer, GatewayReport
from littoral.node.gateway_config import FILE, GatewayConfig, app_routes, read_config, write_config


def test_reports_and_orders_go_up_and_changes_come_down_across_a_restart_of_the_hub() -> None:
    async def scenario(run_dir: Path) -> None:
        configs = [GatewayConfig([Route("one")])]
        killed: list[tuple[str, int]] = []
        reports: list[GatewayReport] = []
        changes: list[GatewayConfig | None] = []
        faults: list[BaseException] = []
        heard = asyncio.Event()

        def changed() -> None:
            changes.append(read_config(run_dir))
            heard.set()

        def hub() -> ControlServer:
            return ControlServer(run_dir, lambda *order: killed.append(order), reports.append, lambda: configs[-1])

        async def until(count: int) -> None:
            async with asyncio.timeout(10):
                while len(changes) < count or not server.gateways:
                    heard.clear()
                    await heard.wait()

        meters = Meters()
        meters.observe("one", 200, 0.001)
        tasks = Tasks(faults.append)
        gateway = ControlClient(run_dir, lambda: GatewayReport(3, 77, meters), changed, tasks)
        gateway.kill_worker("nobody", 1)
        gateway.start()
        server = hub()
        await server.start()
        await until(1)
        configs.append(GatewayConfig([Route("two")], [FunctionTarget("two", ["/s"], 5)], {"streams": 1}))
        server.publish()
        await until(2)
        configs.append(GatewayConfig([Route("two"), Route("three")]))
        with pytest.raises(Conflict):
            server.publish()
        configs.pop()
        await server.stop()
        server = hub()
        await server.start()
        await until(3)
        assert changes == [configs[0], configs[1], configs[1]]
        gateway.kill_worker("one", 99)
        async with asyncio.timeout(10):
            while not (killed and reports):
                await asyncio.sleep(0)
        assert killed == [("one", 99)]
        assert (reports[-1].index, reports[-1].pid, reports[-1].meters) == (3, 77, meters)
        await tasks.stop()
        await server.stop()
        assert not faults

    with tempfile.TemporaryDirectory(prefix="lit") as directory:
        asyncio.run(scenario(Path(directory)))


def test_a_configuration_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_config(tmp_path) is None
    (tmp_path / FILE).write_bytes(b"\xc1")
    assert read_config(tmp_path) is None
    config = GatewayConfig(app_routes("shop", [RouteMatch(path="/a", methods=["GET"])]))
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config
    assert config.routes == [Route("app/shop", "/a", None, ["GET"])]
