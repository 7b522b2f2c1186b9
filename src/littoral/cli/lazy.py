"""Commands that are imported when they are called, so that `littoral version` does not load what `littoral apply` needs."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Union

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


class Group(NamedTuple):
    """Commands below a name."""

    help: str
    commands: "Mapping[str, Entry]"


Entry = Union[str, Group]  # noqa: UP007 -- `|` does not take the string that makes the type recursive
"""A command as "module:function", or a group of them."""


class LazyCommands(Mapping[str, Any]):
    """The commands of a group, by name. Listing the names imports nothing."""

    # Any: typer's own type of a command is private to it.
    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._entries[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class HelpfulGroup(TyperGroup):
    """Called without a command, it shows what there is."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


def make_group(name: str, app: typer.Typer, commands: Mapping[str, Entry]) -> TyperGroup:
    """The group of `app`'s callback with `commands` below it."""
    group = get_group(app)
    group.name = name
    # typer reads it only; it wants a dict for those who add to it.
    group.commands = LazyCommands(commands)  # type: ignore[assignment]
    return group


def new_app() -> typer.Typer:
    """A typer application with our defaults."""
    return typer.Typer(
        cls=HelpfulGroup, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
    )


def _load(name: str, entry: Entry) -> Any:
    app = new_app()
    if isinstance(entry, Group):
        app.callback(help=entry.help)(_nothing)
        return make_group(name, app, entry.commands)
    module, _, function = entry.partition(":")
    app.command(name)(getattr(importlib.import_module(module), function))
    return get_command(app)


def _nothing() -> None:
    pass
