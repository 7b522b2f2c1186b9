"""Where clients are, looked up by real gateways in real files: in what functions know of a request, and in what a cache tells apart."""

import asyncio
import json
from pathlib import Path
from typing import Any

from littoral.core.resources.part import RouteMatch
from littoral.core.resources.web import Cache, RouteSpec
from littoral.gateway.routes import Route
from tests.support.functions_node import FunctionNode
from tests.support.geo import write_database

WHERE = """
from workers import Response, WorkerEntrypoint

calls = 0


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        global calls
        calls += 1
        cf = request.cf
        said = [calls, cf.country, cf.city, cf.asn, request.headers.get("cf-ipcountry")]
        return Response.json(said, headers={"cache-control": "max-age=600", "vary": "cf-ipcountry"})
"""


def place(country: str, city: str) -> dict[str, Any]:
    return {"country": {"iso_code": country}, "city": {"names": {"en": city}}}


async def ask(node: FunctionNode, path: str, source: str) -> list[Any]:
    """source: a loopback address to ask from. What the client says of itself counts nothing."""
    forged = ["-H", "cf-ipcountry: XX", "-H", 'littoral-place: {"city":"Forged"}', "-H", "littoral-country: XX"]
    command = ["curl", "-sS", "--interface", source, *forged, f"http://127.0.0.1:{node.port}{path}"]
    curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await curl.communicate()
    found: list[Any] = json.loads(said)
    return found


def test_functions_and_caches_know_where_clients_are(tmp_path: Path) -> None:
    city = write_database(
        tmp_path / "city.mmdb", {"127.0.0.1/32": place("CH", "Zürich"), "127.0.0.2/32": place("US", "Austin")}
    )
    asn = write_database(tmp_path / "asn.mmdb", {"127.0.0.0/8": {"autonomous_system_number": 64500}})

    async def main() -> None:
        async with FunctionNode(geo_databases=[str(city), str(asn)]) as node:
            node.route("shop", RouteSpec(match=[RouteMatch(path="/cached")], app="shop", cache=Cache()))
            await node.deploy("shop", WHERE, routes=[Route("app/shop", "/plain"), Route("route/shop", "/cached")])
            assert (await ask(node, "/plain", "127.0.0.1"))[1:] == ["CH", "Zürich", 64500, "CH"]
            assert (await ask(node, "/plain", "127.0.0.2"))[1:] == ["US", "Austin", 64500, "US"]
            assert (await ask(node, "/plain", "127.0.0.3"))[1:] == [None, None, 64500, None]
            # One page for each country, and for none, whatever clients say.
            kept = [await ask(node, "/cached", source) for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3")]
            assert [each[1] for each in kept] == ["CH", "US", None]
            assert [await ask(node, "/cached", source) for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3")] == kept
            write_database(city, {"127.0.0.1/32": place("FR", "Lyon")})

            async def is_taken() -> bool:
                return bool((await ask(node, "/plain", "127.0.0.1"))[1:3] == ["FR", "Lyon"])

            async with asyncio.timeout(60):
                while not await is_taken():
                    pass

    asyncio.run(main())
