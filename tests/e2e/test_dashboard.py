"""The dashboard of a tree of real processes, in a real browser."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from littoral.core.http import Request
from littoral.core.resources import App, Origin, Route, Rule
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.fleet.bundles import pack_bundle
from littoral.fleet.desired import DesiredRecord, record_of
from littoral.node.local_tree import LocalTree, Plan
from littoral.security.operator import TOKEN_PATH
from tests.support.functions_node import request as http
from tests.support.raw_origin import RawOrigin, whole

OUTPUT = Path(__file__).parents[1] / "output"
CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=390, height=844)
DEADLINE_S = 240.0
SHOWN_MS = 30_000.0
PLAN = (
    Plan("cloud", "cloud", dashboard=True, mqtt=True),
    Plan("eu", "region", "cloud"),
    Plan("plant-a", "site", "eu", mqtt=True),
)
READINGS = 240
SPIKES = (60, 150)
MEMORY_MOST_KB = 130_000
MACHINES = 30
HOSTILE = "<img src=x onerror='window.pwned=1'>"
"""Where it is taken for markup, the page says so in `window.pwned`."""
PAGES = ("streams", "links", "cache", "functions", "mqtt", "dead-letters", "quarantine")
HOSTILE_PATH = "/h?q=%3Cimg%20src=x%20onerror=window.pwned=1%3E"
HOSTILE_TAG = "<img/src=x/onerror=window.pwned=1>"

RULE = msgspec.convert(
    {
        "kind": "Rule",
        "apiVersion": "littoral/v1",
        "metadata": {"name": "temperature"},
        "spec": {
            "placement": {"tiers": ["site"]},
            "source": {"mqtt": {"topic": "factory/+/temperature"}},
            "value": {"path": "value"},
            "timestamp": {"path": "ts", "unit": "s"},
            "window": {"tumbling": "10s"},
            "detect": {"zscore": {"window": 20, "threshold": 5}},
            "windows": [{"stream": {"name": "windows"}}],
            "alerts": [{"stream": {"name": "alerts", "lane": "alerts"}}],
        },
    },
    Rule,
)


def pressure_rule(path: str) -> Rule:
    """A rule that cannot use its readings, unless their value is at `path`."""
    spec = {
        "placement": {"tiers": ["cloud", "site"]},
        "source": {"mqtt": {"topic": "press/+"}},
        "value": {"path": path},
        "timestamp": {"path": "ts", "unit": "s"},
        "window": {"tumbling": "10s"},
        "windows": [{"stream": {"name": "pressure"}}],
    }
    document = {"kind": "Rule", "apiVersion": "littoral/v1", "metadata": {"name": "pressure"}, "spec": spec}
    return msgspec.convert(document, Rule)


def readings() -> list[bytes]:
    values = [900.0 if number in SPIKES else 70 + number % 7 + number / 40 for number in range(READINGS)]
    return [msgspec.json.encode({"ts": 1_700_000_000 + number, "value": value}) for number, value in enumerate(values)]


def publish(tree: LocalTree, node: str, topic: str, payloads: list[bytes]) -> None:
    """Until the node has stored them all."""
    assert tree.file is not None
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="press-1", protocol=mqtt.MQTTv311)
    client.username_pw_set(tree.file.mqtt["username"], tree.file.mqtt["password"])
    client.connect("127.0.0.1", int((tree.file.nodes[node].mqtt or "").rpartition(":")[2]))
    client.loop_start()
    try:
        for payload in payloads:
            client.publish(topic, payload, qos=1).wait_for_publish(20)
    finally:
        client.disconnect()
        client.loop_stop()


@asynccontextmanager
async def running_tree(state: Path) -> AsyncIterator[LocalTree]:
    transport = HttpTransport()
    async with LocalTree(state, transport, SystemClock(), SystemRandom(), plan=PLAN, round_trip_ms=20) as tree:
        await tree.clients["cloud"].apply([record_of(RULE, None), record_of(pressure_rule("value"), None)])
        async with asyncio.timeout(30):
            for node in ("cloud", "plant-a"):
                while "pressure" not in (await tree.clients[node].status()).rules:
                    await asyncio.sleep(0.05)
        await asyncio.to_thread(publish, tree, "plant-a", "factory/press-1/temperature", readings())
        yield tree
    await transport.aclose()


async def page_of_shop(head: str, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(whole(head.split()[1].encode(), "cache-control: max-age=600", f"cache-tag: {HOSTILE_TAG}"))


def document(kind: type[Route | Origin], spec: dict[str, Any]) -> DesiredRecord:
    """Of something named shop."""
    fields = {"kind": kind.__name__, "apiVersion": "littoral/v1", "metadata": {"name": "shop"}, "spec": spec}
    return record_of(msgspec.convert(fields, kind), None)


async def append(tree: LocalTree, stream: str, record: bytes, content_type: str = "application/json") -> None:
    """To a stream of its node's own, which is made if there is none."""
    assert tree.file is not None
    node = stream.partition("/")[0]
    token = (tree.state_dir / node / TOKEN_PATH).read_text(encoding="ascii").strip()
    headers = {"authorization": f"Bearer {token}", "content-type": content_type}
    transport = HttpTransport()
    for method in ("PUT", "POST"):
        body = record if method == "POST" else b""
        request = Request(method, f"/v1/streams/{stream}", {}, headers, body)
        answer = await transport.request(tree.file.nodes[node].api, request, 10)
        assert answer.status < 300, answer.body
    await transport.aclose()


class Visit:
    """A browser's window, and all that it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.faults: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def hosts(self) -> set[str | None]:
        return {urlsplit(url).hostname for url in self.asked if not url.startswith("data:")}


@asynccontextmanager
async def visit(browser: Browser, size: ViewportSize, scheme: str = "light") -> AsyncIterator[Visit]:
    dark = scheme == "dark"
    context = await browser.new_context(
        viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(SHOWN_MS)
    try:
        yield Visit(await context.new_page())
    finally:
        await context.close()


async def log_in(page: Page, url: str, token: str) -> None:
    await page.goto(f"{url}/login#token={token}")
    await expect(page.locator("[data-node=cloud]")).to_be_visible(timeout=SHOWN_MS)
    assert page.url == f"{url}/", "the token does not stay in the address"


async def shows_login_only(browser: Browser, url: str) -> None:
    async with visit(browser, DESKTOP) as stranger:
        page = stranger.page
        await page.goto(url)
        assert page.url == f"{url}/login"
        await page.fill("#token", "not-the-token")
        await page.click("button")
        await expect(page.locator("[role=alert]")).to_contain_text("not the operator's token")
        answer = await page.request.get(f"{url}/_nicegui_ws/socket.io/?EIO=4&transport=polling")
        assert answer.status == 401


async def shows_the_tree(page: Page) -> None:
    for node, parent in (("eu", "cloud"), ("plant-a", "eu")):
        row = page.locator(f"[data-node={node}]")
        await expect(row).to_contain_text("OK", timeout=SHOWN_MS)
        await expect(row).to_contain_text(f"Up to {parent}")
    await expect(page.locator("[data-node=cloud]")).to_contain_text("Root")
    await expect(page.locator("[data-total=Readings]")).to_have_text(str(READINGS), timeout=SHOWN_MS)


async def shows_where_the_keyboard_is(page: Page) -> None:
    await page.get_by_role("link", name="Quarantine").focus()
    await page.keyboard.press("Tab")
    button = page.get_by_role("button", name="Cut WAN").first
    await expect(button).to_be_focused()
    await expect(button).not_to_have_css("box-shadow", "none")


async def shows_what_flows(page: Page) -> None:
    await expect(page.locator("[data-total=Alerts]")).to_have_text(str(len(SPIKES)), timeout=SHOWN_MS)
    alerts = page.locator(".lt-alert")
    await expect(alerts).to_have_count(len(SPIKES))
    await expect(alerts.first).to_contain_text("2023-11-14 22:15:50", timeout=SHOWN_MS)  # the later one is on top
    await expect(alerts.first).to_contain_text("temperature: factory/press-1/temperature")
    windows = page.locator(".lt-card-windows")
    await expect(windows.locator("svg text", has_text="temperature: mean")).to_be_visible()
    await expect(windows.locator("svg text", has_text="anomaly")).to_be_visible()
    assert await windows.locator('svg path[fill="#d9480f"]').count() > len(SPIKES)  # and the one in the legend
    assert await windows.locator('svg path[stroke="#1f83c9"]').count() >= 1
    rates = page.locator(".lt-card-rates")
    await expect(rates.locator('svg path[stroke="#1f83c9"]').first).to_be_attached(timeout=SHOWN_MS)
    await windows.get_by_text("Count", exact=True).click()
    await expect(windows.locator("svg text", has_text="temperature: count")).to_be_visible()
    await windows.get_by_text("Mean", exact=True).click()


async def cuts_and_restores(page: Page, tree: LocalTree) -> None:
    row = page.locator("[data-node=plant-a]")
    await row.get_by_role("button", name="Cut WAN").click()
    await expect(row.get_by_role("button", name="Restore WAN")).to_be_visible()
    assert tree.links["plant-a"].statistics().state != "up"
    await expect(row).to_contain_text("Link cut", timeout=SHOWN_MS)
    await expect(row).to_contain_text("Down to eu")
    await page.screenshot(path=OUTPUT / "dashboard.png", full_page=True)
    await row.get_by_role("button", name="Restore WAN").click()
    await expect(row).to_contain_text("Up to eu", timeout=SHOWN_MS)
    assert tree.links["plant-a"].statistics().state == "up"


async def survives_the_hub(page: Page, tree: LocalTree) -> None:
    banner = page.get_by_role("status")
    await expect(banner).to_be_hidden()
    hub = tree.pids("cloud")["hub"]
    os.kill(hub, signal.SIGSTOP)
    await expect(banner).to_contain_text("no answer from the hub", timeout=SHOWN_MS)
    await expect(page.locator("[data-node=plant-a]")).to_be_visible()
    os.kill(hub, signal.SIGKILL)
    await expect(banner).to_be_hidden(timeout=SHOWN_MS)
    await expect(page.locator("[data-node=plant-a]")).to_contain_text("OK", timeout=SHOWN_MS)
    await expect(page.locator(".lt-alert")).to_have_count(len(SPIKES))


async def shot(page: Page, name: str) -> None:
    await page.screenshot(path=OUTPUT / f"dashboard-{name}.png", full_page=True)


async def shows_streams(page: Page, url: str, tree: LocalTree) -> None:
    for number in range(MACHINES):
        await append(tree, f"cloud/machines/m-{number:02}", msgspec.json.encode({"n": number, "text": HOSTILE}))
    await page.goto(f"{url}/streams")
    table = page.get_by_role("table", name="Streams")
    await page.get_by_label("Name contains").fill("plant-a/windows")
    await expect(table.locator("[data-row]:visible")).to_have_count(1, timeout=SHOWN_MS)
    await expect(table.get_by_role("link", name="plant-a/windows")).to_be_visible()
    await page.get_by_label("Name contains").fill("machines")
    pager = page.locator(".lt-pager")
    await expect(pager).to_contain_text(f"1 to 25 of {MACHINES} streams")
    await pager.get_by_label("On").click()
    await expect(pager).to_contain_text(f"26 to {MACHINES} of {MACHINES} streams")
    await expect(table.locator("[data-row]:visible")).to_have_count(MACHINES - 25)
    await shot(page, "streams")
    await page.reload()
    # The address says what is looked for.
    await expect(pager).to_contain_text(f"1 to 25 of {MACHINES} streams")
    await table.get_by_role("button", name="Stream").click()
    await expect(table.locator("[data-row]").first).to_contain_text(f"m-{MACHINES - 1:02}")
    await page.get_by_label("Name contains").fill("no such stream")
    await expect(page.locator(".lt-empty:visible")).to_contain_text("No stream is like that.")


async def follows_a_stream(page: Page, url: str, tree: LocalTree) -> None:
    await page.goto(f"{url}/stream?name=cloud/machines/m-00")
    records = page.locator(".lt-record")
    await expect(records).to_have_count(1)
    await expect(records.first).to_contain_text(HOSTILE)
    await append(tree, "cloud/machines/m-00", b'{"n": "appended while it is looked at"}')
    await expect(records).to_have_count(2)
    await expect(records.first).to_contain_text("appended while it is looked at")
    await shot(page, "stream")
    await append(tree, "cloud/bytes", bytes(range(256)), "application/octet-stream")
    await page.goto(f"{url}/stream?name=cloud/bytes")
    await expect(records.first).to_contain_text("000000  00 01 02 03")
    await page.goto(f"{url}/stream?name=cloud/nothing")
    await expect(page.get_by_role("status")).to_contain_text("there is no such stream on this node")


async def shows_links(page: Page, url: str) -> None:
    await page.goto(f"{url}/links")
    for node, parent in (("eu", "cloud"), ("plant-a", "eu")):
        link = page.locator(".lt-link-card", has=page.locator(f"[data-link={node}]"))
        await expect(link).to_contain_text(f"Up to {parent}")
        await expect(link.locator("[data-row=state]")).to_contain_text("/s", timeout=SHOWN_MS)
    await shot(page, "links")


async def answer(page: Page, verb: str) -> None:
    """Agree to what is asked before something is done."""
    await page.get_by_role("alertdialog").get_by_role("button", name=verb).click()


async def retries_a_dead_letter(page: Page, url: str, tree: LocalTree) -> None:
    poison = [b'{"ts": 1700000000, "bar": 5.5}', HOSTILE.encode()]
    await asyncio.to_thread(publish, tree, "cloud", "press/1", poison)
    await page.goto(f"{url}/dead-letters")
    await expect(page.locator("nav .lt-count:visible")).to_have_text("2", timeout=SHOWN_MS)
    letters = page.get_by_role("table", name="Letters", exact=True)
    await expect(letters.locator("[data-row]")).to_have_count(2)
    await shot(page, "dead-letters")
    await letters.locator("[data-row='1'] .lt-pick").click()
    dialog = page.get_by_role("dialog").locator(".lt-dialog")
    await expect(dialog.locator(".lt-content")).to_have_text(HOSTILE)
    await shot(page, "dead-letter")
    await dialog.get_by_label("Close").click()
    await letters.locator("[data-row='0']").get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("alertdialog")).to_contain_text("applied again at cloud")
    await answer(page, "Retry")
    await expect(page.locator(".q-notification")).to_contain_text("missing required field `value`")
    await expect(letters.locator("[data-row='0']")).to_be_visible()  # It stays open.
    await tree.clients["cloud"].apply([record_of(pressure_rule("bar"), None)])
    async with asyncio.timeout(30):
        while (await tree.clients["cloud"].status()).rules["pressure"].readings:
            await asyncio.sleep(0.05)  # until the new one runs
    await letters.locator("[data-row='0']").get_by_role("button", name="Retry").click()
    await answer(page, "Retry")
    await expect(letters.locator("[data-row='0']")).to_be_hidden(timeout=SHOWN_MS)
    assert (await tree.clients["cloud"].status()).rules["pressure"].readings == 1
    await letters.locator("[data-row='1']").get_by_role("button", name="Drop").click()
    await answer(page, "Drop")
    await expect(page.locator(".lt-empty:visible").last).to_contain_text("No open letters.")
    assert (await tree.clients["cloud"].status()).dead_letters == 0


async def asks_other_nodes_for_theirs(page: Page, url: str, tree: LocalTree) -> None:
    await asyncio.to_thread(publish, tree, "plant-a", "press/1", [b"no JSON"])
    await page.goto(f"{url}/dead-letters")
    await page.locator("[data-row=plant-a] .lt-pick").click(timeout=SHOWN_MS)
    letters = page.get_by_role("table", name="Letters", exact=True)
    await expect(letters.locator("[data-row='0']")).to_contain_text("no JSON", timeout=SHOWN_MS)
    await letters.locator("[data-row='0']").get_by_role("button", name="Drop").click()
    await answer(page, "Drop")
    await expect(page.locator(".q-notification")).to_contain_text("spec.parent.requests", timeout=SHOWN_MS)


async def shows_what_is_in_quarantine(page: Page, url: str) -> None:
    await page.goto(f"{url}/quarantine")
    await expect(page.locator(".lt-body")).to_contain_text("Nothing was put aside.")
    await expect(page.locator(".lt-body")).to_contain_text("All streams go up.")
    await shot(page, "quarantine")


async def shows_what_caches_hold_and_purges_it(page: Page, url: str, tree: LocalTree) -> None:
    assert tree.file is not None
    port = int(tree.file.nodes["cloud"].gateway.rpartition(":")[2])
    async with RawOrigin(page_of_shop) as origin:
        documents = [
            document(Origin, {"targets": [{"url": origin.url}]}),
            document(Route, {"match": [{"path": "/*"}], "origin": "shop"}),
        ]
        await tree.clients["cloud"].apply(documents)
        async with asyncio.timeout(30):
            while (await http(port, HOSTILE_PATH)).status == 404:
                await asyncio.sleep(0.05)
        for path in (HOSTILE_PATH, "/a" * 1000, "/a", "/a"):
            await http(port, path)
        await page.goto(f"{url}/cache")
        top = page.get_by_role("table", name="Given most often")
        await expect(top).to_contain_text(HOSTILE_PATH, timeout=SHOWN_MS)
        await expect(top).to_contain_text(HOSTILE_TAG)
        await expect(page.get_by_role("table", name="Routes")).to_contain_text("1 of 1 target in use")
        await expect(page.locator("[data-total='Bytes saved']")).not_to_have_text("0 B", timeout=SHOWN_MS)
        await shot(page, "cache")
        a = top.locator("[data-row]", has=page.get_by_text("http://edge.test/a", exact=True))
        await a.get_by_role("button", name="Purge").click()
        await expect(page.get_by_role("alertdialog")).to_contain_text("all that is stored of http://edge.test/a?")
        await answer(page, "Purge")
        await expect(page.locator(".q-notification")).to_contain_text("1 stored response in 1 gateway of cloud")
        await expect(a).to_be_hidden()
        assert "; fwd=uri-miss" in (await http(port, "/a")).headers["cache-status"]
        form = page.locator(".lt-form")
        await form.get_by_label("URL", exact=True).fill("ftp://edge.test/")
        await form.get_by_role("button", name="Purge").click()
        await answer(page, "Purge")
        await expect(page.locator(".q-notification").last).to_contain_text("Write it as clients do")
        await page.get_by_role("table", name="Nodes with caches").get_by_role("button", name="plant-a").click()
        await expect(page.get_by_text("by 1 gateway of plant-a")).to_be_visible(timeout=SHOWN_MS)
        await expect(page.get_by_text("Nothing is stored.")).to_be_visible()


FUNCTION = """\
from workers import Response
async def on_fetch(request, env):
    if "fail" in request.url:
        raise ValueError("%s")
    return Response("fine")
"""


async def shows_what_functions_do_and_raised(page: Page, url: str, tree: LocalTree) -> None:
    assert tree.file is not None
    port = int(tree.file.nodes["cloud"].gateway.rpartition(":")[2])
    spec = {"main": "entry.py", "placement": {"nodes": ["cloud"]}, "routes": [{"host": "f.test"}]}
    fields = {"kind": "App", "apiVersion": "littoral/v1", "metadata": {"name": "calm"}, "spec": spec}
    bundle = pack_bundle("calm", {"entry.py": (FUNCTION % HOSTILE.replace('"', "")).encode()})
    await tree.clients["cloud"].apply([record_of(msgspec.convert(fields, App), bundle)])
    host = {"host": "f.test"}
    async with asyncio.timeout(30):
        while (await http(port, "/", headers=host)).body != b"fine":
            await asyncio.sleep(0.05)
    assert (await http(port, "/fail", headers=host)).status == 500
    await page.goto(f"{url}/functions")
    line = page.get_by_role("table", name="Apps", exact=True).locator("[data-row=calm]")
    await expect(line).to_contain_text("1 × exception", timeout=SHOWN_MS)
    exceptions = page.get_by_role("table", name="Exceptions")
    await expect(exceptions).to_contain_text("entry.py:4 in on_fetch", timeout=SHOWN_MS)
    await expect(exceptions).to_contain_text(HOSTILE)
    await exceptions.get_by_role("button", name="ValueError").click()
    await expect(page.locator(".lt-content:visible")).to_contain_text("raise ValueError(")
    await shot(page, "functions")


async def shows_what_passes_the_broker_and_kicks(page: Page, url: str, tree: LocalTree) -> None:
    assert tree.file is not None
    topic = f"site/{HOSTILE}/state"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=HOSTILE, reconnect_on_failure=False)
    client.username_pw_set(tree.file.mqtt["username"], tree.file.mqtt["password"])
    client.connect("127.0.0.1", int((tree.file.nodes["cloud"].mqtt or "").rpartition(":")[2]))
    client.loop_start()
    try:
        await asyncio.to_thread(client.publish(topic, HOSTILE, qos=1, retain=True).wait_for_publish, 20)
        await page.goto(f"{url}/mqtt")
        clients = page.get_by_role("table", name="Clients", exact=True)
        line = clients.locator("[data-row]", has=page.get_by_text(HOSTILE, exact=True))
        await expect(line).to_contain_text("127.0.0.1", timeout=SHOWN_MS)
        tree_of_topics = page.get_by_role("treegrid", name="Topics")
        await tree_of_topics.get_by_role("button", name="site").click()
        await tree_of_topics.get_by_role("button", name=HOSTILE).click()
        state = tree_of_topics.get_by_role("row", name="state")
        await expect(state).to_contain_text("retained")
        await expect(state).to_contain_text(HOSTILE)
        await shot(page, "mqtt")
        await tree_of_topics.get_by_role("button", name="site").click()
        await expect(state).to_be_hidden()
        await page.get_by_label("Topic contains").fill("STATE")
        await expect(tree_of_topics.get_by_text(topic, exact=True).locator("visible=true")).to_be_visible()
        await line.get_by_role("button", name="Kick").click()
        await expect(page.get_by_role("alertdialog")).to_contain_text("Its session stays")
        await answer(page, "Kick")
        await expect(page.locator(".q-notification").last).to_contain_text("connection ended")
        await expect(line).to_be_hidden(timeout=SHOWN_MS)
    finally:
        client.disconnect()
        client.loop_stop()


async def fits_a_phone(browser: Browser, url: str, token: str) -> None:
    async with visit(browser, PHONE, "dark") as phone:
        await log_in(phone.page, url, token)
        await expect(phone.page.locator(".lt-alert")).to_have_count(len(SPIKES))
        for page in ("", *PAGES, "stream?name=cloud/machines/m-00"):
            if page:
                await phone.page.goto(f"{url}/{page}")
                await expect(phone.page.get_by_text("Asking …").locator("visible=true")).to_have_count(0)
            assert await phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page
            await shot(phone.page, "-".join(filter(None, ("phone", page.partition("?")[0]))))
        assert phone.faults == []


def proportional_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


async def look(state: Path) -> None:
    async with asyncio.timeout(DEADLINE_S), running_tree(state) as tree, async_playwright() as driver:
        assert tree.file is not None
        assert tree.file.dashboard is not None
        url, token = tree.file.dashboard, (state / "cloud" / TOKEN_PATH).read_text(encoding="ascii").strip()
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        await shows_login_only(browser, url)
        async with visit(browser, DESKTOP) as operator:
            await log_in(operator.page, url, token)
            await shows_the_tree(operator.page)
            await shows_where_the_keyboard_is(operator.page)
            await shows_what_flows(operator.page)
            await cuts_and_restores(operator.page, tree)
            await survives_the_hub(operator.page, tree)
            await shows_streams(operator.page, url, tree)
            await follows_a_stream(operator.page, url, tree)
            await shows_links(operator.page, url)
            await shows_what_caches_hold_and_purges_it(operator.page, url, tree)
            await shows_what_functions_do_and_raised(operator.page, url, tree)
            await shows_what_passes_the_broker_and_kicks(operator.page, url, tree)
            await retries_a_dead_letter(operator.page, url, tree)
            await asks_other_nodes_for_theirs(operator.page, url, tree)
            await shows_what_is_in_quarantine(operator.page, url)
            assert await operator.page.evaluate("window.pwned") is None
            assert operator.hosts() == {"127.0.0.1"}, "everything comes from this machine"
            assert any(asked.startswith("ws://") for asked in operator.asked)
            assert operator.faults == []
        await fits_a_phone(browser, url, token)
        await browser.close()
        assert token not in tree.log("cloud").read_text(encoding="utf-8")
        assert proportional_kb(tree.pids("cloud")["dashboard"]) < MEMORY_MOST_KB


def test_the_page_shows_a_running_tree_steers_its_wans_and_outlives_its_hub(tmp_path: Path) -> None:
    OUTPUT.mkdir(exist_ok=True)
    expect.set_options(timeout=SHOWN_MS)
    asyncio.run(look(tmp_path / "tree"))
