"""Stands before the application: nothing of it is reached without a session.

    Host names another machine                     421
    sent by a page of another site                 403
    GET /login                                     the form; it takes the token from the URL's fragment if it is there
    POST /login       the operator's token         204 and a cookie, or 401
    POST /logout                                   the cookie ends
    no session        GET of a page                303 to /login, which leads back to it
                      anything else                401; a WebSocket is refused
    session                                        the application
    session over      a message of a WebSocket     not delivered; the WebSocket is closed

A fragment is not sent to servers, so a token in a link stands in no log and no Referer.

What is done from a page goes through its WebSocket. Other sites' pages cannot open one: the browser sends their Origin, and
keeps the cookie (SameSite) to itself.
"""

from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from littoral.dashboard.hub_api import TokenSource
from littoral.dashboard.session import SESSION_S, Sessions, is_known_host, is_same_origin, is_token
from littoral.drivers.asgi_server import AsgiApp, Message, Receive, Send

TOKEN_BYTES_MOST = 1024
"""Of a login's body: a token is 43 characters."""
WS_POLICY_VIOLATION = 1008

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'self'; "
    "form-action 'self'"
)
"""Nothing is fetched from elsewhere. NiceGUI's own scripts are inline, and Vue compiles templates."""
SAFETY = (
    ("content-security-policy", CONTENT_POLICY),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
)
LOGIN_PAGE = (Path(__file__).parent / "assets" / "login.html").read_bytes()
Fields = dict[str, str]


class Guard:
    """An ASGI app around another."""

    def __init__(
        self,
        app: AsgiApp,
        token: TokenSource,
        sessions: Sessions,
        advertised: Collection[str],
        port: int,
        pages: Collection[str],
    ) -> None:
        """advertised: names beside those of the loopback that the node is reached by. port: of the listener; cookies
        of one host are sent to all its ports, so their names must differ. pages: paths that a person goes to."""
        self._pages = pages
        self._app = app
        self._token = token
        self._sessions = sessions
        self._advertised = advertised
        self._cookie = f"littoral-dashboard-{port}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        fields = _fields(scope)
        host = fields.get("host", "")
        if not is_known_host(host, self._advertised):
            return await _refuse(scope, send, 421, "This dashboard is not reached by that name.\n")
        if not is_same_origin(fields.get("origin"), host):
            return await _refuse(scope, send, 403, "A page of another site may not call this dashboard.\n")
        if scope["type"] == "http":
            match (scope["method"], scope["path"]):
                case ("GET" | "HEAD", "/healthz"):
                    return await _answer(send, 200, b"ok\n")
                case ("GET" | "HEAD", "/login"):
                    return await _answer(send, 200, LOGIN_PAGE, ("content-type", "text/html; charset=utf-8"))
                case ("POST", "/login"):
                    return await self._log_in(receive, send)
                case ("POST", "/logout"):
                    return await _answer(send, 204, b"", ("set-cookie", self._set_cookie("", 0)))
        if self._has_session(fields):
            hears = self._while_in_session(fields, receive, send) if scope["type"] == "websocket" else receive
            return await self._app(scope, hears, _safe(send))
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self._pages:
            back = "" if scope["path"] == "/" else f"?to={scope['path']}"
            return await _answer(send, 303, b"", ("location", f"/login{back}"))
        return await _refuse(scope, send, 401, "Log in at /login.\n")

    def _while_in_session(self, fields: Fields, receive: Receive, send: Send) -> Receive:
        """What comes through a WebSocket, until its session is over: it may be open for longer than that."""

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive" and not self._has_session(fields):
                await send({"type": "websocket.close", "code": WS_POLICY_VIOLATION, "reason": "The session is over."})
                return {"type": "websocket.disconnect", "code": WS_POLICY_VIOLATION}
            return message

        return receiving

    async def _log_in(self, receive: Receive, send: Send) -> None:
        shown = await _body(receive)
        token = self._token()
        if shown is None or token is None or not is_token(shown, token):
            return await _answer(send, 401, b"That is not the operator's token of this node.\n")
        cookie = self._set_cookie(self._sessions.issue(token), SESSION_S)
        return await _answer(send, 204, b"", ("set-cookie", cookie))

    def _set_cookie(self, value: str, lifetime_s: int) -> str:
        return f"{self._cookie}={value}; Max-Age={lifetime_s}; Path=/; HttpOnly; SameSite=Strict"

    def _has_session(self, fields: Fields) -> bool:
        token = self._token()
        if token is None:
            return False
        try:
            cookie = SimpleCookie(fields.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and self._sessions.is_valid(cookie.value, token)


def _fields(scope: Message) -> Fields:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def _body(receive: Receive) -> str | None:
    """The body as text; None if it is longer than a token may be, or no text."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > TOKEN_BYTES_MOST:
            return None
        if not message.get("more_body", False):
            break
    return body.decode() if body.isascii() else None


async def _refuse(scope: Message, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": WS_POLICY_VIOLATION, "reason": text.strip()})
    else:
        await _answer(send, status, text.encode())


async def _answer(send: Send, status: int, body: bytes, *fields: tuple[str, str]) -> None:
    wanted = [("cache-control", "no-store"), *SAFETY, *fields]
    if body and not any(name == "content-type" for name, _ in fields):
        wanted.append(("content-type", "text/plain; charset=utf-8"))
    headers = [(name.encode(), value.encode()) for name, value in wanted]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _safe(send: Send) -> Send:
    safety = [(name.encode(), value.encode()) for name, value in SAFETY]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *safety]
        await send(message)

    return sending
