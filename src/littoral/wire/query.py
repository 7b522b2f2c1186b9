"""Whole numbers in the queries of requests."""

from collections.abc import Mapping
from typing import TypeVar

from littoral.core.errors import InvalidInput

DIGITS_MOST = 18
"""A number with more may not fit into 64 bits."""

T = TypeVar("T")


def is_whole_number(text: str) -> bool:
    """Whether it is one, and fits into 64 bits."""
    return text.isascii() and text.isdecimal() and len(text) <= DIGITS_MOST


def required_number(query: Mapping[str, str], key: str, operation: str, subject: str) -> int:
    """As `whole_number`, where there is no default."""
    number = whole_number(query, key, operation, subject, None)
    if number is None:
        raise InvalidInput(operation, subject, f"{key} is missing")
    return number


def whole_number(query: Mapping[str, str], key: str, operation: str, subject: str, default: T) -> int | T:
    """What the query says of `key`; `default` where it says nothing. operation, subject: what the request is about.
    Raises InvalidInput."""
    text = query.get(key)
    if text is None:
        return default
    if not is_whole_number(text):
        raise InvalidInput(operation, subject, f"{key} {text[:30]!r} is not a whole number")
    return int(text)
