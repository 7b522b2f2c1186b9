"""Python programs that a command starts beside a tree: they end with it, and what they complain of goes to a file."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from io import BufferedWriter
from pathlib import Path

from littoral.drivers.process import die_with_parent

LINE_BYTES = 64 * 1024 * 1024
"""Longest line of output: a load's last one holds every latency."""


async def start_python(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start this interpreter with `arguments`; stdin and stdout are pipes. environment: in addition to ours."""
    parent = os.getpid()
    with _appending(log) as complaints:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            limit=LINE_BYTES,
            env={**os.environ, **(environment or {})},
            # Ctrl-C is for the command, which then ends it.
            start_new_session=True,
            preexec_fn=lambda: None if die_with_parent(parent) else os._exit(1),
        )


def _appending(path: Path) -> BufferedWriter:
    return path.open("ab")
