"""What is wrong with the input, and how far a search has come: the two things that go to stderr."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from meshwright.cli.render.console import console_for, text_of
from meshwright.cli.render.parts import notes

PATIENCE_S = 1.0
"""Searches that are done by then show no progress."""


def show_problems(problems: Sequence[str]) -> None:
    """One block on stderr with every problem; in a log, each on a line of its own."""
    if not sys.stderr.isatty():
        sys.stderr.writelines(f"error: {problem}\n" for problem in problems)
        return
    if len(problems) == 1:
        block: list[object] = [Text("error: ", style="bad").append(problems[0], style="not bold default")]
    else:
        block = [Text(f"error: {len(problems)} problems", style="bad"), notes(problems)]
    for part in block:
        sys.stderr.write(text_of(part, sys.stderr))  # type: ignore[arg-type]


@contextmanager
def search_progress(stream: TextIO) -> Iterator[Callable[[int], None] | None]:
    """A callback for the search, which shows a bar after a second; None where no one watches."""
    if not stream.isatty():
        yield None
        return
    bar = Progress(
        SpinnerColumn(), TextColumn("searching"), TimeElapsedColumn(),
        TextColumn("{task.completed} tables of plans"),
        console=console_for(stream), transient=True,
    )  # fmt: skip
    task, started = bar.add_task("search", total=None), time.monotonic()

    def look(num_tables: int) -> None:
        if time.monotonic() - started > PATIENCE_S:
            bar.start()
            bar.update(task, completed=num_tables)

    try:
        yield look
    finally:
        bar.stop()
