import asyncio
import json

import pytest

from littoral.core.errors import InvalidInput, LittoralError, NotFound, Unauthenticated
from littoral.core.http import Request, Response
from littoral.core.limits import Limits
from littoral.drivers.clock import SystemClock
from littoral.drivers.link import WanLink
from littoral.node.link_control import LinkControl

TOKEN = "t" * 43


def steer(*orders: tuple[str, str, bytes], token: str = TOKEN) -> list[object]:
    """The answers of a control with one link, "plant-a"."""

    async def main() -> list[object]:
        failures: list[BaseException] = []
        control = LinkControl({"plant-a": WanLink("plant-a", [], SystemClock(), Limits(), failures.append)}, TOKEN)
        answers: list[object] = []
        for method, path, body in orders:
            request = Request(method, path, headers={"authorization": f"Bearer {token}"}, body=body)
            response = await control.handle(request)
            assert isinstance(response, Response)
            answers.append(json.loads(response.body))
        assert failures == []
        return answers

    return asyncio.run(main())


def test_links_are_listed_cut_restored_and_delayed():
    path = "/v1/links/plant-a"
    answers = steer(
        ("POST", path, b'{"action": "delay", "delay_ms": 75}'),
        ("POST", path, b'{"action": "cut"}'),
        ("GET", "/v1/links", b""),
        ("POST", path, b'{"action": "restore"}'),
    )
    entry = {"name": "plant-a", "state": "up", "delay_ms": 75.0, "bytes_up": 0, "bytes_down": 0}
    assert answers == [entry, entry | {"state": "cut"}, [entry | {"state": "cut"}], entry]


@pytest.mark.parametrize(
    ("method", "path", "body", "error"),
    [
        ("POST", "/v1/links/plant-b", b'{"action": "cut"}', NotFound),
        ("DELETE", "/v1/links/plant-a", b"", NotFound),
        ("POST", "/v1/links/plant-a", b"", InvalidInput),
        ("POST", "/v1/links/plant-a", b'{"action": "burn"}', InvalidInput),
        ("POST", "/v1/links/plant-a", b'{"action": "cut", "for": 5}', InvalidInput),
        ("POST", "/v1/links/plant-a", b'{"action": "delay", "delay_ms": -1}', InvalidInput),
        ("POST", "/v1/links/plant-a", b'{"action": "delay", "delay_ms": 1e300}', InvalidInput),
    ],
)
def test_what_is_refused(method: str, path: str, body: bytes, error: type[LittoralError]):
    with pytest.raises(error):
        steer((method, path, body))


def test_nobody_steers_without_the_token():
    with pytest.raises(Unauthenticated):
        steer(("GET", "/v1/links", b""), token="other")
