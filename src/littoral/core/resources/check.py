"""Checks that several kinds of documents have in common."""

import ipaddress
import re
from collections.abc import Iterable, Iterator

from littoral.core.errors import InvalidInput
from littoral.core.resources.problem import Path
from littoral.core.resources.units import parse_bytes, parse_duration_ms

Mistake = tuple[Path, str]
"""Where, and what is wrong."""

HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62})?)*")


def duration(path: Path, text: str, least_ms: int) -> Iterator[Mistake]:
    """What is wrong with a duration."""
    try:
        if parse_duration_ms(text) < least_ms:
            yield path, f'found "{text}"; at least {least_ms}ms is allowed'
    except InvalidInput as error:
        yield path, error.cause


def repeated(path: Path, names: Iterable[str], what: str) -> Iterator[Mistake]:
    """The elements of a list that have the name of an earlier one; `what` a name is."""
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            yield (*path, index), f'the {what} "{name}" is already in element {seen[name]}'
        seen.setdefault(name, index)


def size(path: Path, text: str, least: int) -> Iterator[Mistake]:
    """What is wrong with a number of bytes."""
    try:
        if parse_bytes(text) < least:
            yield path, f'found "{text}"; at least {least // 1024}KiB is allowed'
    except InvalidInput as error:
        yield path, error.cause


def is_host(text: str) -> bool:
    """Whether `text` is a host name or an IP address (without brackets or port)."""
    if HOST.fullmatch(text):
        return True
    try:
        return "%" not in str(ipaddress.ip_address(text))
    except ValueError:
        return False
