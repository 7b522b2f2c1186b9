"""Files that travel with an app, and are served before its code is asked: `spec.assets` of an App."""

from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from msgspec import Meta

from littoral.core.resources.part import Part
from littoral.core.resources.problem import Path

HtmlHandling = Literal["auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"]
NotFoundHandling = Literal["none", "404-page", "single-page-application"]


class Assets(Part, frozen=True):
    """As the key `assets` of Workers has it."""

    directory: str
    """The folder with the files, relative to `source`."""
    binding: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The name in `env` by which the code gets them: `env.ASSETS.fetch(request)`."""
    html_handling: HtmlHandling = "auto-trailing-slash"
    """At which paths pages are: auto-trailing-slash: a.html at /a, and a/index.html at /a/. force-trailing-slash: both with the slash.
    drop-trailing-slash: both without. none: at the paths of the files only."""
    not_found_handling: NotFoundHandling = "none"
    """What who follows a link is given where there is nothing: none: what the code answers. 404-page: the nearest 404.html.
    single-page-application: /index.html."""
    run_worker_first: bool | list[str] = False
    """Whether the code is asked before the files; for all paths, or for those of these patterns: "/api/*", and "!/api/docs/*" for
    exceptions."""


def check_assets(assets: Assets, names: Collection[str]) -> Iterator[tuple[Path, str]]:
    """What a document gets wrong. names: those of `env` that are taken."""
    here: Path = ("spec", "assets")
    if not assets.directory or assets.directory.startswith("/") or ".." in assets.directory.split("/"):
        yield (*here, "directory"), f'found "{assets.directory[:80]}"; expected a folder inside `source`'
    if assets.binding in names:
        yield (
            (*here, "binding"),
            f'"{assets.binding}" is also another binding or variable; each name in env is one thing',
        )
    for index, rule in enumerate([] if isinstance(assets.run_worker_first, bool) else assets.run_worker_first):
        if not rule.removeprefix("!").startswith("/"):
            yield (*here, "runWorkerFirst", index), f'found "{rule[:80]}"; a pattern begins with "/" or "!/"'
