"""littoral mqtt."""

import sys

import typer

from littoral.drivers.random import SystemRandom
from littoral.security.passwords import hash_password


def hash_login() -> None:
    """Ask for a password, or read it from the first line of stdin, and print its hash for `spec.mqtt.users`."""
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    print(hash_password(password, SystemRandom()))
