"""What a worker writes, on its way to the hub."""

import asyncio

from tests.support.functions_node import FunctionNode

CODE = """
    import sys
    from workers import Response

    async def on_fetch(request):
        print("to stdout")
        print("to stderr", file=sys.stderr)
        if request.url.endswith("/fails"):
            raise ValueError("on purpose")
        return Response("ok")
"""


def test_the_hub_has_the_lines_of_each_app_without_the_workers_name():
    async def story() -> None:
        said: list[tuple[str, int, str]] = []
        async with FunctionNode() as node:
            node.runtime.log = lambda app, slot, text: said.extend((app, slot, line) for line in text.split("\n"))
            await node.deploy("shop", CODE)
            assert (await node.get("/shop")).body == b"ok"
            await node.until(lambda: {("shop", 0, "to stdout"), ("shop", 0, "to stderr")} <= set(said))
            assert (await node.get("/shop/fails")).status == 500
            await node.until(lambda: any(line.endswith("ValueError: on purpose") for _, _, line in said))
            (failure,) = [line for _, _, line in said if line.endswith("ValueError: on purpose")]
            assert failure.startswith("[")
            # Without a hub that takes them, functions go on writing.
            await node.stop_hub()
            assert (await node.get("/shop")).body == b"ok"
            await node.until(lambda: node.log().count("shop-0: to stdout") == 3)
            await node.start_hub()

    asyncio.run(story())
