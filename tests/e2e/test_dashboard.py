"""The dashboard of a tree of real processes, in a real browser."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from littoral.core.resources import Rule
from littoral.drivers.clock import SystemClock
from littoral.drivers.random import SystemRandom
from littoral.drivers.transport import HttpTransport
from littoral.fleet.desired import record_of
from littoral.node.local_tree import LocalTree, Plan
from littoral.security.operator import TOKEN_PATH

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
DEADLINE_S = 150.0
SHOWN_MS = 30_000.0
PLAN = (
    Plan("cloud", "cloud", dashboard=True),
    Plan("eu", "region", "cloud"),
    Plan("plant-a", "site", "eu", mqtt=True),
)
READINGS = 240
SPIKES = (60, 150)
MEMORY_MOST_KB = 130_000

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


def publish_readings(port: int, username: str, password: str) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="press-1", protocol=mqtt.MQTTv311)
    client.username_pw_set(username, password)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        for number in range(READINGS):
            value = 900.0 if number in SPIKES else 70 + number % 7 + number / 40
            payload = msgspec.json.encode({"ts": 1_700_000_000 + number, "value": value})
            client.publish("factory/press-1/temperature", payload, qos=1).wait_for_publish(20)
    finally:
        client.disconnect()
        client.loop_stop()


@asynccontextmanager
async def running_tree(state: Path) -> AsyncIterator[LocalTree]:
    transport = HttpTransport()
    async with LocalTree(state, transport, SystemClock(), SystemRandom(), plan=PLAN, round_trip_ms=20) as tree:
        await tree.clients["cloud"].apply([record_of(RULE, None)])
        assert tree.file is not None
        port = int((tree.file.nodes["plant-a"].mqtt or "").rpartition(":")[2])
        login = tree.file.mqtt
        async with asyncio.timeout(30):
            while not (await tree.clients["plant-a"].status()).rules:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(publish_readings, port, login["username"], login["password"])
        yield tree
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


async def fits_a_phone(browser: Browser, url: str, token: str) -> None:
    async with visit(browser, PHONE, "dark") as phone:
        await log_in(phone.page, url, token)
        await expect(phone.page.locator(".lt-alert")).to_have_count(len(SPIKES))
        assert await phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await phone.page.screenshot(path=OUTPUT / "dashboard-phone.png", full_page=True)


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
            await shows_what_flows(operator.page)
            await cuts_and_restores(operator.page, tree)
            await survives_the_hub(operator.page, tree)
            assert operator.hosts() == {"127.0.0.1"}, "everything comes from this machine"
            assert any(asked.startswith("ws://") for asked in operator.asked)
            assert operator.faults == []
        await fits_a_phone(browser, url, token)
        await browser.close()
        assert token not in tree.log("cloud").read_text(encoding="utf-8")
        assert proportional_kb(tree.pids("cloud")["dashboard"]) < MEMORY_MOST_KB


def test_the_page_shows_a_running_tree_steers_its_wans_and_outlives_its_hub(tmp_path: Path) -> None:
    OUTPUT.mkdir(exist_ok=True)
    asyncio.run(look(tmp_path / "tree"))
