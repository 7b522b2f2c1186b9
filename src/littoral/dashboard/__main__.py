"""Entry point: `python -m littoral.dashboard --fd N --api URL --data-dir DIR [--links FILE]`."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

import uvloop

from littoral.core.errors import LittoralError, StartupError
from littoral.node.layout import EXIT_STARTUP


def main() -> int:
    """Run until SIGTERM; the process's exit status."""
    parser = argparse.ArgumentParser(prog="littoral.dashboard")
    parser.add_argument("--fd", required=True, type=int, help="inherited listening socket")
    parser.add_argument("--api", required=True, help="the node's operator API: http://host:port")
    parser.add_argument("--data-dir", required=True, type=Path, help="the node's data directory")
    parser.add_argument("--links", type=Path, help="file with url and token of the link control API")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return _run(arguments.fd, arguments.api, arguments.data_dir.absolute(), arguments.links)
    except LittoralError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_STARTUP


def _run(descriptor: int, api_url: str, data_dir: Path, links: Path | None) -> int:
    try:
        from littoral.dashboard.process import DashboardProcess  # noqa: PLC0415 -- needs an optional extra
    except ModuleNotFoundError as error:
        raise StartupError(
            "start",
            "the dashboard",
            f"{error.name} is not installed",
            "Install the extra: pip install 'littoral[cloud]'",
        ) from error
    process = DashboardProcess(descriptor, api_url, data_dir, links)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(process.run())


if __name__ == "__main__":
    sys.exit(main())
