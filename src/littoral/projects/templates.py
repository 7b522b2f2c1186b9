"""What `littoral init` writes: small projects that run as they are.

`NAME` and `DATE` in them are replaced. None of them needs more of a node than a gateway.
"""

from typing import NamedTuple


class Template(NamedTuple):
    """One of them."""

    about: str
    """In a few words, for `--help`."""
    files: dict[str, str]


_GITIGNORE = """\
.littoral/
.venv/
__pycache__/
.env*
.dev.vars*
"""

_WRANGLER = """\
{
  "name": "NAME",
  "main": "src/entry.py",
  "compatibility_date": "DATE",
  "compatibility_flags": ["python_workers"],
  // What the code finds as env.GREETING.
  "vars": {
    "GREETING": "Hello"
  }
  // The app answers all that no other app or route does. For a host or a path of its own:
  // "routes": ["shop.example/*"]
}
"""

_HELLO = """\
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(f"{self.env.GREETING} from NAME\\n")
"""

_KV_DOCUMENTS = """\
apiVersion: littoral/v1
kind: App
metadata:
  name: NAME
spec:
  source: src
  main: entry.py
  routes:
    - path: /*
  kv:
    - binding: VISITS
      namespace: NAME-visits
---
apiVersion: littoral/v1
kind: Namespace
metadata:
  name: NAME-visits
"""

_KV = '''\
from urllib.parse import urlsplit

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    """Counts the visits of each path."""

    async def fetch(self, request):
        path = urlsplit(request.url).path
        visits = int(await self.env.VISITS.get(path) or 0) + 1
        await self.env.VISITS.put(path, str(visits))
        return Response.json({"path": path, "visits": visits})
'''

_PACKAGES_PROJECT = """\
[project]
name = "NAME"
version = "0.1.0"
requires-python = ">=3.11"
# What is listed here travels with the app: `littoral build` puts it into the revision.
dependencies = ["markupsafe>=3"]
"""

_PACKAGES = """\
from urllib.parse import parse_qs, urlsplit

from markupsafe import Markup
from workers import Response, WorkerEntrypoint

PAGE = Markup("<!doctype html><title>NAME</title><p>{greeting}, {name}!")


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        name = parse_qs(urlsplit(request.url).query).get("name", ["world"])[0]
        page = PAGE.format(greeting=self.env.GREETING, name=name)
        return Response(page, headers={"content-type": "text/html; charset=utf-8"})
"""

TEMPLATES = {
    "hello": Template("one answer", {".gitignore": _GITIGNORE, "wrangler.jsonc": _WRANGLER, "src/entry.py": _HELLO}),
    "kv": Template("a counter in a key-value namespace", {".gitignore": _GITIGNORE, "littoral.yaml": _KV_DOCUMENTS, "src/entry.py": _KV}),
    "packages": Template(
        "a page, made with a package",
        {".gitignore": _GITIGNORE, "wrangler.jsonc": _WRANGLER, "pyproject.toml": _PACKAGES_PROJECT, "src/entry.py": _PACKAGES},
    ),
}  # fmt: skip
"""By name."""


def files_of(template: str, name: str, today: str) -> dict[str, str]:
    """A template's files. name: of the app. today: as in "2026-01-31"."""
    return {path: text.replace("NAME", name).replace("DATE", today) for path, text in TEMPLATES[template].files.items()}
