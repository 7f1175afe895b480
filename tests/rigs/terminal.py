"""Runs a program on a terminal of its own, as a person does."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def on_a_terminal(
    words: Sequence[str | Path],
    answer: bytes = b"",
    columns: int = 80,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> tuple[int, str]:
    """Run a program and type ``answer``; return its exit code and what the terminal got.

    ``options`` are for ``subprocess.Popen``; with another ``stdout`` only the rest is seen.
    """
    # readline sets COLUMNS for the children of a process that imports it, unseen by os.environ.
    environ = {name: text for name, text in os.environ.items() if name != "COLUMNS"}
    ours, theirs = pty.openpty()
    try:
        subprocess.run(["stty", "cols", str(columns)], stdin=theirs, check=True)
        ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **options}
        process = subprocess.Popen(
            list(map(str, words)), env={**environ, **(environment or {})}, **ends
        )
        os.close(theirs)
        os.write(ours, answer)
        shown = b""
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # how a terminal tells that nobody has it open any more
                break
            if not more:
                break
            shown += more
        return process.wait(60), shown.decode()
    finally:
        os.close(ours)
