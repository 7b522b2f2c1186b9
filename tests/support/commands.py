"""A command of `littoral`, run in this process: another would first have to load all of Python and of it."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from littoral.cli.main import run


def command(
    *arguments: str | Path, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> CompletedProcess[bytes]:
    """What it does and says, as if it was a process of its own. environment: all that there is; ours, unless given."""
    out, err, given = (io.TextIOWrapper(io.BytesIO(each), "utf-8", write_through=True) for each in (b"", b"", stdin))
    words = [str(each) for each in arguments]
    with (
        mock.patch.dict(os.environ, environment or os.environ, clear=True),
        mock.patch.multiple("sys", stdout=out, stderr=err, stdin=given),
    ):
        code = run(words)
    return CompletedProcess(words, code, *(each.buffer.getvalue() for each in (out, err)))
