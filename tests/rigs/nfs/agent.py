"""Runs in a guest as its first process: takes commands from the host and reaps what ends.

A command is a file ``inbox/NAME`` in the directory that the host shares; its output goes to
``NAME.out``, its process's number to ``NAME.pid`` and its exit code to ``NAME.code``. It is a
shell's. Or it is `CALL` and a list in JSON: a module and the words for its `main`, which is called
in a fork of the agent. That has imported much already, which takes a new interpreter seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

CALL = "#call "
_PAUSE = 0.04


def serve(share: Path) -> None:
    """Run all commands that come, for ever, each as a process of its own."""
    inbox = share / "inbox"
    # The objects are kept: one that is dropped while its process runs has its end noticed, and
    # lost, by the start of another (subprocess._cleanup).
    running: dict[int, tuple[subprocess.Popen[bytes] | None, Path]] = {}
    write(share / "ready", "")
    while True:
        for name in sorted(os.listdir(inbox)):
            base = share / name
            # It is taken out before it is run: none is run again after another boot.
            command = base.with_suffix(".sh")
            (inbox / name).rename(command)
            text, process = command.read_text(), None
            with open(base.with_suffix(".out"), "wb") as output:
                if text.startswith(CALL):
                    pid = fork(json.loads(text.removeprefix(CALL)), output.fileno())
                else:
                    process = subprocess.Popen(
                        ["bash", str(command)],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                    pid = process.pid
            running[pid] = process, base
            write(base.with_suffix(".pid"), str(pid))
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                # Others are orphans, which are the first process's to reap.
                if ended[0] in running:
                    process, base = running.pop(ended[0])
                    code = os.waitstatus_to_exitcode(ended[1])
                    if process is not None:
                        process.returncode = code
                    write(base.with_suffix(".code"), str(code))
        time.sleep(_PAUSE)


def fork(words: list[str], output: int) -> int:
    """Call a module's `main` in a process and session of its own; return its number."""
    with suppress(ImportError):  # which the fork will tell
        importlib.import_module(words[0])
    if pid := os.fork():
        return pid
    code = 70
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        random.seed()
        importlib.import_module(words[0]).main(words[1:])
        code = 0
    except SystemExit as end:
        code = 70 if end.code else 0
        print(end.code or "")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def write(path: Path, text: str) -> None:
    """Write a file that is never seen half-written."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.rename(path)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
