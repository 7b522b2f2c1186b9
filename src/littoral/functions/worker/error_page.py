"""What a developer's browser shows of an exception: where the code was, line by line. For nodes of developers alone, since it says
what the code is."""

import html
import traceback
from pathlib import Path

from littoral import functions

OURS = str(Path(functions.__file__).parent)
_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<body style="font: 15px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 70rem">
<h1 style="font-size: 1.25rem">{title}</h1>
<p>in {request}</p>
<pre style="font: 13px/1.5 ui-monospace, monospace; overflow-x: auto">{trace}</pre>
"""


def error_page(error: BaseException, request: str, directory: str, accept: str) -> tuple[str, bytes]:
    """Content type and body. request: what was asked. directory: of the revision; files are named by their path from there.
    accept: what the client takes."""
    trace = trace_of(error, directory)
    if "text/html" not in accept:
        return "text/plain; charset=utf-8", f"{request}\n\n{trace}".encode("utf-8", "replace")
    title = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    page = _PAGE.format(title=html.escape(title), request=html.escape(request), trace=html.escape(trace))
    return "text/html; charset=utf-8", page.encode("utf-8", "replace")


def trace_of(error: BaseException, directory: str) -> str:
    """The traceback from where the app's code was called on; its files are named by their path from `directory`."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(OURS):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).replace(f"{directory}/", "")
