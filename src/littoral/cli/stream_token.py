"""littoral stream token."""

from typing import Annotated

import typer

from littoral.cli.output import print_json
from littoral.drivers.random import SystemRandom
from littoral.security.stream_clients import make_stream_token


def make_token(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Make a token for a client of the streams listener, and its hash for `spec.streams.clients`."""
    made = make_stream_token(SystemRandom())
    if as_json:
        print_json({"token": made.token, "tokenHash": made.hash})
        return
    print(f"token:     {made.token}")
    print(f"tokenHash: {made.hash}")
