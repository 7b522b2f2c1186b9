"""Files that travel with an app, before its code: as Workers have it, a request that a file answers costs no call.

`_redirects` beside them sends clients elsewhere before a file is looked for, and `_headers` says what is said of files. What the
code answers, neither is about.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from littoral.core.asset_paths import CACHE_CONTROL, Page, Parts, fallback, find, runs_first
from littoral.core.asset_redirects import GIVEN, Redirect
from littoral.core.asset_rules import AssetRules
from littoral.core.clock import Clock
from littoral.core.resources.app_assets import Assets
from littoral.core.resources.web import Static
from littoral.gateway.exchange import Exchange, Later
from littoral.gateway.field_block import FieldBlock
from littoral.gateway.origin_calls import stripped
from littoral.gateway.routes import normal_host
from littoral.gateway.static_files import Directory, StaticFiles
from littoral.gateway.target import RequestTarget
from littoral.wire.caching.fields import table


class Handler(Protocol):
    """See littoral.gateway.gateway.Handler."""

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Later | Awaitable[int]:
        """Answer."""
        ...


_NOTHING = FieldBlock(())


class AppAssets:
    """Implements `littoral.gateway.gateway.Handler`: a file of the app's, or else the app."""

    def __init__(
        self,
        app: Handler,
        directory: Directory,
        path: str,
        spec: Assets,
        strip_prefix: str,
        clock: Clock,
        rules: Callable[[], AssetRules],
    ) -> None:
        """app: who answers what no file does. directory: that of the files, which is at `path`. rules: theirs."""
        self._app = app
        self._directory = directory
        self._spec = spec
        self._strip_prefix = strip_prefix
        self._rules = rules
        self._files = StaticFiles(directory, Static(directory=path, cache_control=CACHE_CONTROL), "", clock)

    def serve(self, exchange: Exchange, target: RequestTarget, request_id: str) -> int | Later | Awaitable[int]:
        """See Handler.serve. Raises StorageError, and what the app's handler raises."""
        path = stripped(target.path, self._strip_prefix)
        if not runs_first(path, self._spec.run_worker_first):
            rules = self._rules()
            redirect = rules.redirects.find(path, target.query) if rules.redirects else None
            if redirect is not None and redirect.status != GIVEN:
                return self._move(exchange, path, redirect)
            if exchange.method in ("GET", "HEAD") and not exchange.has_body:
                wanted = path if redirect is None else redirect.to.partition("?")[0].partition("#")[0]
                found = find(wanted, self._spec.html_handling, self._is_file)
                if found is None and table(exchange.fields).get("sec-fetch-mode") == "navigate":
                    # Whoever follows a link wants a page; what a page's script asks for is the code's to answer.
                    found = fallback(wanted, self._spec.not_found_handling, self._is_file)
                if isinstance(found, Page):
                    change = partial(rules.headers.apply, normal_host(exchange.host), path) if rules.headers else None
                    return self._files.give(exchange, found.parts, found.status, change)
                if found is not None:
                    query = f"?{target.query}" if target.query else ""
                    return self._move(exchange, path, Redirect(found.path + query, 307))
        return self._app.serve(exchange, target, request_id)

    def _move(self, exchange: Exchange, path: str, redirect: Redirect) -> int:
        """path: as the app's files are found by it."""
        prefix = self._strip_prefix.rstrip("/") if redirect.to.startswith("/") else ""
        fields = self._rules().headers.apply(normal_host(exchange.host), path, [("location", f"{prefix}{redirect.to}")])
        exchange.respond(redirect.status, _NOTHING, list(fields), b"")
        return redirect.status

    def _is_file(self, parts: Parts) -> bool:
        found = self._directory.open(parts)
        if found is None:
            return False
        found.close()
        return not found.facts.is_directory
