"""Entry point: `python -m littoral.dashboard --fd N --api URL --data-dir DIR [--links FILE]`."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

import uvloop

from littoral.core.errors import LittoralError
from littoral.dashboard.process import DashboardProcess
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
        process = DashboardProcess(arguments.fd, arguments.api, arguments.data_dir.absolute(), arguments.links)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(process.run())
    except LittoralError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_STARTUP


if __name__ == "__main__":
    sys.exit(main())
