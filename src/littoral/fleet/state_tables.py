"""Tables of a store's state that are held in memory as well."""

from typing import TypeVar

import msgspec

from littoral.store.store import Store

T = TypeVar("T")


def load_table(store: Store, scope: str, kind: type[T]) -> dict[str, T]:
    """What the store holds under a scope, by key."""
    return {key: msgspec.msgpack.decode(value, type=kind) for key, value in store.state(scope).items()}


def restore_entry(table: dict[str, T], key: str, value: T | None) -> None:
    """An entry is what it was: the disk refused another one. value: None where there was none."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
