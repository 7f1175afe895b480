"""Runs in a guest as its first process: takes commands from the host and reaps what ends.

A command is a file ``inbox/NAME`` in the directory that the host shares; its output goes to
``NAME.out``, its process's number to ``NAME.pid`` and its exit code to ``NAME.code``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PAUSE = 0.04


def serve(share: Path) -> None:
    """Run all commands that come, for ever, each as a process of its own."""
    inbox = share / "inbox"
    # The objects are kept: one that is dropped while its process runs has its end noticed, and
    # lost, by the start of another (subprocess._cleanup).
    running: dict[int, tuple[subprocess.Popen[bytes], Path]] = {}
    write(share / "ready", "")
    while True:
        for name in sorted(os.listdir(inbox)):
            base = share / name
            # It is taken out before it is run: none is run again after another boot.
            command = base.with_suffix(".sh")
            (inbox / name).rename(command)
            with open(base.with_suffix(".out"), "wb") as output:
                process = subprocess.Popen(
                    ["bash", str(command)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            running[process.pid] = process, base
            write(base.with_suffix(".pid"), str(process.pid))
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                # Others are orphans, which are the first process's to reap.
                if ended[0] in running:
                    process, base = running.pop(ended[0])
                    process.returncode = os.waitstatus_to_exitcode(ended[1])
                    write(base.with_suffix(".code"), str(process.returncode))
        time.sleep(_PAUSE)


def write(path: Path, text: str) -> None:
    """Write a file that is never seen half-written."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.rename(path)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
