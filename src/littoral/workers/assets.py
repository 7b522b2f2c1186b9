"""`env.ASSETS`: the files that travel with an app, by the paths at which clients find them."""

import mimetypes
import os
from collections.abc import Mapping
from http import HTTPMethod
from typing import Any
from urllib.parse import SplitResult, urlsplit

from littoral.core.asset_paths import CACHE_CONTROL, Moved, Page, Parts, fallback, find
from littoral.core.asset_redirects import GIVEN
from littoral.core.asset_rules import FILE_BYTES, AssetRules, asset_rules
from littoral.core.resources.app_assets import Assets as AssetsSpec
from littoral.workers.headers import Headers, HeadersInit
from littoral.workers.request import Request
from littoral.workers.response import Response

# What the system knows of types may be out of reach of a confined process, and is not the same everywhere.
_TYPES = mimetypes.MimeTypes()
for _kind, _suffix in (
    ("text/javascript", ".js"),
    ("text/javascript", ".mjs"),
    ("font/woff2", ".woff2"),
    ("font/woff", ".woff"),
    ("image/avif", ".avif"),
    ("image/webp", ".webp"),
    ("image/svg+xml", ".svg"),
    ("application/wasm", ".wasm"),
    ("application/manifest+json", ".webmanifest"),
    ("text/markdown", ".md"),
):
    _TYPES.add_type(_kind, _suffix)


class Assets:
    """An app's files. Their folder is read-only, and what is in it does not change while a worker lives."""

    __slots__ = ("_directory", "_known_rules", "_spec")

    def __init__(self, directory: str, spec: AssetsSpec) -> None:
        """directory: absolute; nothing outside of it is given."""
        self._directory = os.path.realpath(directory)
        self._spec = spec
        self._known_rules: AssetRules | None = None

    async def fetch(
        self,
        resource: str | Request,
        init: Mapping[str, Any] | None = None,
        *,
        method: str | HTTPMethod | None = None,
        headers: HeadersInit = None,
        **others: object,
    ) -> Response:
        """The file at the path of a URL, as a client would be given it; of the URL, all but the path is ignored.

        `_redirects` and `_headers` hold here, too. A page at another path than its own is a redirect (307), what is not there has status 404, and another method than GET
        and HEAD 405. Without ranges: whoever asks has the file at hand.
        """
        given = {"method": method, "headers": headers, **(init or {})}
        request = Request(resource, **{name: given[name] for name in ("method", "headers") if given[name] is not None})
        if request.method not in ("GET", "HEAD"):
            return Response(None, 405, headers={"allow": "GET, HEAD"})
        return self._answer(request, urlsplit(request.url))

    def _answer(self, request: Request, url: SplitResult) -> Response:
        path, rules = url.path or "/", self._rules()
        redirect = rules.redirects.find(path, url.query)
        wanted = path if redirect is None else redirect.to.partition("?")[0].partition("#")[0]
        found = find(wanted, self._spec.html_handling, self._is_file)
        if redirect is not None and redirect.status != GIVEN:
            response = Response(None, redirect.status, headers={"location": redirect.to})
        elif isinstance(found, Moved):
            query = f"?{url.query}" if url.query else ""
            response = Response(None, 307, headers={"location": found.path + query})
        else:
            page = found or fallback(wanted, self._spec.not_found_handling, self._is_file)
            if page is None:
                return Response(None, 404)
            response = self._give(request, page)
        if rules.headers:
            fields = rules.headers.apply((url.hostname or "").lower(), path, response.headers.items())
            response.headers = Headers(fields)
        return response

    def _rules(self) -> AssetRules:
        if self._known_rules is None:
            self._known_rules = asset_rules(self._start_of)
        return self._known_rules

    def _start_of(self, name: str) -> bytes:
        if not self._is_file((name,)):
            return b""
        with open(self._path((name,)), "rb") as file:
            return file.read(FILE_BYTES)

    def _give(self, request: Request, page: Page) -> Response:
        path = self._path(page.parts)
        with open(path, "rb") as file:
            facts = os.fstat(file.fileno())
            etag = f'"{facts.st_ino:x}-{facts.st_mtime_ns:x}-{facts.st_size:x}"'
            headers = {"content-type": _type_of(page.parts[-1]), "cache-control": CACHE_CONTROL}
            if page.status == 200:
                headers["etag"] = etag
                known = [each.strip() for each in (request.headers.get("if-none-match") or "").split(",")]
                if "*" in known or etag in [each.removeprefix("W/") for each in known]:
                    return Response(None, 304, headers=headers)
            if request.method == "HEAD":
                return Response(None, page.status, headers={**headers, "content-length": str(facts.st_size)})
            return Response(file.read(), page.status, headers=headers)

    def _path(self, parts: Parts) -> str:
        return os.path.join(self._directory, *parts)

    def _is_file(self, parts: Parts) -> bool:
        path = self._path(parts)
        # A link may lead out of the folder.
        return os.path.isfile(path) and os.path.realpath(path).startswith(self._directory + os.sep)


def _type_of(name: str) -> str:
    kind, coding = _TYPES.guess_type(name)
    if kind is None or coding is not None:
        return "application/octet-stream"
    is_text = kind.startswith("text/") or kind in ("application/json", "application/manifest+json", "image/svg+xml")
    return f"{kind}; charset=utf-8" if is_text else kind
