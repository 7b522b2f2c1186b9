"""How `littoral demo` shows what it does: a spinner and a bar on a terminal, else a line for each step."""

import contextlib
from collections.abc import Iterator
from typing import Self

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from littoral.core.clock import Clock

STORY_COLUMNS = 96


class Step:
    """One step in progress."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self.found: list[str] = []

    def advance(self, fraction: float) -> None:
        """How far it is."""
        self._progress.update(self._task, completed=fraction, total=1.0)

    def doing(self, text: str) -> None:
        """What it waits for just now."""
        self._progress.update(self._task, doing=text)

    def note(self, text: str) -> None:
        """Something it found out, shown once it is done."""
        self.found.append(text)


class Steps:
    """Shows one step after the other. Use as a context manager."""

    def __init__(self, console: Console, clock: Clock, *, tell: bool) -> None:
        """tell: say with each step what it shows."""
        self._console = console
        self._clock = clock
        self._tell = tell
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TimeElapsedColumn(),
            TextColumn("{task.fields[doing]}", style="dim"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextlib.contextmanager
    def step(self, title: str, story: str) -> Iterator[Step]:
        """Show a step while it is done. story: what it is about."""
        if self._tell:
            self._console.print(Text(title, style="bold"))
            width = min(self._console.width, STORY_COLUMNS)
            self._console.print(Padding(Text(story), (0, 0, 0, 2)), width=width, style="dim")
        task = self._progress.add_task(title, total=None, doing="")
        started_s = self._clock.monotonic_s()
        step = Step(self._progress, task)
        try:
            yield step
        except BaseException:
            self._line("✗", "red", title, started_s)
            raise
        finally:
            self._progress.remove_task(task)
        self._line("✓", "green", title, started_s)
        for found in step.found:
            self._console.print(Text(f"    {found}"))

    def _line(self, mark: str, style: str, title: str, started_s: float) -> None:
        took_s = self._clock.monotonic_s() - started_s
        self._console.print(
            Text(f"{mark} ", style=style).append(f"{title}  ", style="default").append(f"{took_s:.1f} s", style="dim")
        )
