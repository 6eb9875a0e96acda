"""From what Rich renders to text, for a terminal, a pipe or a file, at its width and with its colours."""

import sys
from typing import TextIO

from rich.console import Console, RenderableType
from rich.theme import Theme

from meshwright.cli.output import write_stdout

WIDEST = 140
"""Beyond this, lines are too long to read across."""
THEME = Theme(
    {
        "heading": "bold",
        "label": "dim",
        "best": "bold green",
        "good": "green",
        "tight": "yellow",
        "bad": "bold red",
        "table.header": "dim",
    }
)


def console_for(stream: TextIO) -> Console:
    """A console on a stream: colours only on a terminal that wants them, at most `WIDEST` columns."""
    console = Console(file=stream, theme=THEME, highlight=False, emoji=False, markup=False)
    console.width = min(console.width, WIDEST)
    return console


def text_of(renderable: RenderableType, stream: TextIO) -> str:
    """What a stream should show; no blanks at line ends, and no character that the stream can't write."""
    console = console_for(stream)
    with console.capture() as capture:
        console.print(renderable)
    lines = (line.rstrip() for line in capture.get().rstrip("\n").split("\n"))
    encoding = stream.encoding or "utf-8"
    return "\n".join(lines).encode(encoding, "replace").decode(encoding) + "\n"


def show(renderable: RenderableType) -> None:
    """Draws on stdout."""
    write_stdout(text_of(renderable, sys.stdout))
