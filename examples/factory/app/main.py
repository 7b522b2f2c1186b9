"""The status of the factory's lines, from the node's own copy of the data.

/lines and /api/lines list the lines; /lines/<site>/<line> and /api/lines/<site>/<line> show one. The page is HTML,
/api is JSON. The rules write what is shown here: lines/<topic>/window and lines/<topic>/alert.
"""

import re
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import urlsplit

from workers import Request, Response, WorkerEntrypoint

# The site's and the line's names, as they occur in topics. Anything else is not looked up.
LINE_PATH = re.compile(r"/lines/([a-z0-9-]{1,63})/([a-z0-9-]{1,63})/?")
LINE_KEY = re.compile(r"lines/factory/([a-z0-9-]{1,63})/([a-z0-9-]{1,63})/temperature/window")

AGGREGATES = ("count", "mean", "stddev", "min", "max", "first", "last")
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
PAGE_HEADERS = HEADERS | {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem; padding: 0 1rem; color: #1b2733 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem }
tr { border-bottom: 1px solid #d8e0e8 } td { font-variant-numeric: tabular-nums } .alert { color: #a3261f }
"""


class Default(WorkerEntrypoint):
    async def fetch(self, request: Request) -> Response:
        path = urlsplit(request.url).path
        is_api = path.startswith("/api/")
        path = path.removeprefix("/api")
        if path.rstrip("/") == "/lines":
            lines = await self.lines()
            return as_json(lines) if is_api else page("Lines", list_of(lines))
        match = LINE_PATH.fullmatch(path)
        line = await self.line(*match.groups()) if match else None
        if line is None:
            missing = {"error": "There is no such line, or it has no window yet."}
            return as_json(missing, 404) if is_api else page("Not found", f"<p>{escape(missing['error'])}</p>", 404)
        return as_json(line) if is_api else page(f"{line['site']} / {line['line']}", status_of(line))

    async def lines(self) -> list[dict[str, str]]:
        """The lines that have a window, in order."""
        found = await self.env.KV.list(prefix="lines/factory/")
        matches = [LINE_KEY.fullmatch(key.name) for key in found.keys]
        return [{"site": match[1], "line": match[2]} for match in matches if match]

    async def line(self, site: str, line: str) -> dict[str, Any] | None:
        """The latest window and alert of one line; None if it has neither."""
        place = f"lines/factory/{site}/{line}/temperature"
        window = await self.env.KV.get(f"{place}/window", "json")
        alert = await self.env.KV.get(f"{place}/alert", "json")
        if window is None and alert is None:
            return None
        return {"site": site, "line": line, "window": window, "alert": alert}


def as_json(value: object, status: int = 200) -> Response:
    return Response.json(value, status=status, headers=HEADERS)


def page(title: str, body: str, status: int = 200) -> Response:
    html = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style><h1>{escape(title)}</h1>{body}</html>"
    )
    return Response(html, status=status, headers=PAGE_HEADERS)


def list_of(lines: list[dict[str, str]]) -> str:
    items = "".join(
        f'<li><a href="/lines/{escape(line["site"])}/{escape(line["line"])}">'
        f"{escape(line['site'])} / {escape(line['line'])}</a>"
        for line in lines
    )
    return f"<ul>{items}</ul>" if items else "<p>No line has finished a window yet.</p>"


def status_of(line: dict[str, Any]) -> str:
    rows = []
    if (window := line["window"]) is not None:
        rows.append(("Window", f"{clock(window['start'])} to {clock(window['end'])}"))
        rows += [(name, number(window[name])) for name in AGGREGATES if name in window]
    table = "".join(f"<tr><th>{escape(name)}<td>{escape(value)}" for name, value in rows)
    if (alert := line["alert"]) is None:
        note = "<p>No anomaly so far.</p>"
    else:
        text = f"Latest anomaly: {number(alert['value'])} at {clock(alert['ts'])}, mean before: {number(alert['mean'])}"
        note = f"<p class=alert>{escape(text)}</p>"
    return f"{note}<table>{table}</table><p><a href='/lines'>All lines</a></p>"


def clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")


def number(value: float) -> str:
    return f"{value:g}" if isinstance(value, int) else f"{value:.2f}"
