"""Commands that are imported when they are called, so that `littoral version` does not load what `littoral apply` needs."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Union

import typer
from typer.core import TyperCommand, TyperGroup
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
    def __init__(self, entries: Mapping[str, Entry], panels: Mapping[str, str]) -> None:
        """panels: under which heading of the help a command stands, by its name."""
        self._entries = entries
        self._panels = panels
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = command = _load(name, self._entries[name])
            command.rich_help_panel = self._panels.get(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class HelpfulCommand(TyperCommand):
    """Its help says no type of an option that takes no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_flag_types(super().get_params(ctx))


class HelpfulGroup(TyperGroup):
    """Likewise. Called without a command, it shows what there is."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_flag_types(super().get_params(ctx))


def make_group(
    name: str, app: typer.Typer, commands: Mapping[str, Entry], panels: Mapping[str, str] = {}
) -> TyperGroup:
    """The group of `app`'s callback with `commands` below it. panels: see LazyCommands."""
    group = get_group(app)
    group.name = name
    # typer reads it only; it wants a dict for those who add to it.
    group.commands = LazyCommands(commands, panels)  # type: ignore[assignment]
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
    app.command(name, cls=HelpfulCommand)(getattr(importlib.import_module(module), function))
    return get_command(app)


def _without_flag_types(params: list[Any]) -> list[Any]:
    for each in params:
        if getattr(each, "is_flag", False) and each.metavar is None:
            each.metavar = ""
    return params


def _nothing() -> None:
    pass
