"""The output of all commands: text for people on a terminal, or JSON for programs.

The only module that prints, and the only importer of rich (where something is drawn).
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeAlias

from orion_hpc.errors import ConfigurationError, OrionHpcError

_LINE_INTERVAL = 10.0
"""Seconds between progress lines where the output isn't a terminal."""

_WATCH_INTERVAL = 1.0
"""Seconds between two pictures of a live view."""

_MOST_ROWS = 1000
"""The most rows of a table: rich needs half a millisecond for each."""

_GAP = 2
"""Characters between columns."""

_LEAST_WIDTH = 8

_HARMLESS = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"
}
"""Replacements for control characters. Texts in a database may come from other users: a message
must not clear the screen or rename the window."""


Look: TypeAlias = Callable[[int], tuple[Sequence[Sequence[tuple[str, str]]], bool]]
"""Returns the lines of a live view, as texts with their styles, for a width; and whether they are
the last ones."""


def _width() -> int:
    """Return how many characters a line may have."""
    if not sys.stdout.isatty():
        return 10_000
    return max(40, shutil.get_terminal_size().columns)


def fitted(widths: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns that fit into ``room`` characters; the last may be left out.

    The widest columns are made narrower first, and none narrower than its content or eight
    characters, whichever is less.

    Examples
    --------
    >>> from orion_hpc.cli.terminal import fitted
    >>> fitted([6, 40, 30], 60)
    [6, 25, 25]
    >>> fitted([6, 40, 30], 20)
    [6, 12]
    """
    found = list(widths)
    while _GAP * (len(found) - 1) + sum(found) > room:
        widest = max(range(len(found)), key=lambda index: found[index])
        if found[widest] > _LEAST_WIDTH:
            found[widest] -= 1
        elif len(found) > 1:
            found = list(widths[: len(found) - 1])
        else:
            break
    return found


class Terminal:
    """Standard output and standard error of a command.

    Attributes
    ----------
    fill : callable
        Puts the user's arguments into the commands of a hint; set by the command that has them.
    """

    def __init__(self) -> None:
        self.fill: Callable[[str], str] = str

    def say(self, text: str = "") -> None:
        """Print a line of the command's answer."""
        print(self.fill(text).translate(_HARMLESS), flush=True)

    def note(self, text: str) -> None:
        """Print a line that isn't part of the answer, such as a progress message or a warning."""
        print(self.fill(text).translate(_HARMLESS), file=sys.stderr, flush=True)

    def error(self, error: OrionHpcError) -> None:
        """Print an error and what to do next."""
        self.note(f"Error: {error.message}")
        if error.hint:
            self.note(error.hint)

    def json(self, value: Any) -> None:
        """Print ``value`` as JSON."""
        print(json.dumps(value, indent=2, allow_nan=False), flush=True)

    def data(self, content: bytes) -> None:
        """Write the command's answer unchanged, for a program or a file."""
        if sys.stdout.isatty():
            print(content.decode(errors="replace").translate(_HARMLESS), end="", flush=True)
            return
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def confirm(self, question: str, option: str) -> None:
        """Ask a question and return if the answer is yes; ``option`` is the flag that answers it.

        Raises
        ------
        ConfigurationError
            There is no terminal, or the answer is no.
        """
        if not sys.stdin.isatty():
            raise ConfigurationError(
                f"nobody is there to be asked: {question}", f"Answer with {option}."
            )
        print(f"{question.translate(_HARMLESS)} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ConfigurationError("nothing was done", f"Answer 'y', or give {option}.")

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print names with their values, each value in the same column."""
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            self.say(f"{name:<{width}}  {value}".rstrip())

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table, one line for each row.

        On a terminal cells are shortened until a row fits; for a file or a program they stay whole.
        Of very many rows the first are printed, and the number of the others.
        """
        from rich.cells import cell_len
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        rest = iter(rows)
        cells = [[cell.translate(_HARMLESS) for cell in row] for row in islice(rest, _MOST_ROWS)]
        widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
        room = _width()
        fitting = fitted(widths, room)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column, width in zip(columns, fitting, strict=False):
            table.add_column(column, no_wrap=True, overflow="ellipsis", width=width)
        for row in cells:
            table.add_row(*map(Text, row[: len(fitting)]))
        console = Console(width=room)
        with console.capture() as capture:
            console.print(table)
        for line in capture.get().splitlines():
            print(line.rstrip(), flush=True)
        if more := sum(1 for _ in rest):
            self.say(f"… and {more:,} more")
        if left := columns[len(fitting) :]:
            self.note(f"This terminal is too narrow for the columns {', '.join(left)}.")

    def follow(self, look: Callable[[], tuple[str, bool]], interval: float = 0.5) -> None:
        """Show the line from ``look``, repeatedly, until it returns True for the last one.

        On a terminal the line is updated in place; elsewhere it is printed when it has changed, at
        most every ten seconds, and at the end.
        """
        if sys.stderr.isatty():
            self._follow_live(look, interval)
            return
        shown_at = float("-inf")
        shown = ""
        while True:
            text, last = look()
            now = time.monotonic()
            if last or (text != shown and now - shown_at >= _LINE_INTERVAL):
                self.note(text)
                shown, shown_at = text, now
            if last:
                return
            time.sleep(interval)

    def watch(self, look: Look) -> None:
        """Show lines of styled texts, and what has changed in them, until the last ones or Ctrl-C.

        Where the output isn't a terminal they are printed when they have changed, at most
        every ten seconds.
        """
        from rich.console import Console, Group
        from rich.live import Live
        from rich.text import Text

        if not sys.stdout.isatty():
            self._watch_plain(look)
            return

        with Live(console=Console(), auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                lines, last = look(_width())
                texts = [
                    # A character may be wider than a column.
                    Text.assemble(*line, no_wrap=True, overflow="ellipsis")
                    for line in (
                        [(text.translate(_HARMLESS), style) for text, style in line]
                        for line in lines
                    )
                ]
                live.update(Group(*texts), refresh=True)
                if last:
                    return
                time.sleep(_WATCH_INTERVAL)

    def _watch_plain(self, look: Look) -> None:
        shown, shown_at = "", float("-inf")
        while True:
            lines, last = look(_width())
            text = "\n".join("".join(part for part, _ in line).rstrip() for line in lines)
            now = time.monotonic()
            if text != shown and (last or now - shown_at >= _LINE_INTERVAL):
                self.say(f"{text}\n")
                shown, shown_at = text, now
            if last:
                return
            time.sleep(_WATCH_INTERVAL)

    def during(self, steps: Iterable[str]) -> None:
        """Exhaust an iterator of progress messages; on a terminal show them in one line."""
        if not sys.stderr.isatty():
            for _ in steps:
                pass
            return
        shown = False
        for text in steps:
            shown = True
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
        if shown:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)

    def _follow_live(self, look: Callable[[], tuple[str, bool]], interval: float) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(stderr=True), auto_refresh=False) as live:
            while True:
                text, last = look()
                live.update(Text(text.translate(_HARMLESS)), refresh=True)
                if last:
                    return
                time.sleep(interval)
