"""Runs in a guest as its first process: takes commands from the host and reaps what ends.

A command is a file ``NAME.sh`` in the directory that the host shares; its output goes to
``NAME.out``, its process's number to ``NAME.pid`` and its exit code to ``NAME.code``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PAUSE = 0.02


def serve(share: Path) -> None:
    """Run all commands that come, for ever, each as a process of its own."""
    running: dict[int, Path] = {}
    write(share / "ready", "")
    while True:
        # Only what wasn't begun has this name, so one that the guest ran before its last boot, or
        # that is under way, isn't run again.
        for command in sorted(share.glob("*.sh")):
            begun = command.with_suffix(".begun")
            command.rename(begun)
            with open(command.with_suffix(".out"), "wb") as output:
                process = subprocess.Popen(
                    ["bash", str(begun)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            running[process.pid] = command
            write(command.with_suffix(".pid"), str(process.pid))
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                # Others are orphans, which are the first process's to reap.
                if (found := running.pop(ended[0], None)) is not None:
                    write(found.with_suffix(".code"), str(os.waitstatus_to_exitcode(ended[1])))
        time.sleep(_PAUSE)


def write(path: Path, text: str) -> None:
    """Write a file that is never seen half-written."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.rename(path)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
