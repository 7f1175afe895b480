"""The process between the tests and the daemons they start, so that nothing outlives the tests.

This module knows how processes are started, reaped and killed to the last; what they are it leaves
to its users. The tests hold a `Supervisor`; run as a program, this file is the process itself, so
it imports nothing of the tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_MNT_DETACH = 2


class Supervisor:
    """The process between the tests and the daemons, seen from the tests.

    It is there so that nothing outlives the tests, even when they are killed with SIGKILL. It is
    the parent of the daemons and a "child subreaper" (prctl(2)): whatever a daemon or a job forks,
    however often it detaches itself, stays a descendant. When its standard input ends, or its
    parent does, it kills all descendants and removes the directory. Should it be killed itself,
    the daemons get SIGKILL from the kernel (PR_SET_PDEATHSIG).
    """

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(directory), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # ^C at the terminal is for the tests alone
        )

    def spawn(self, argv: tuple[str, ...], env: dict[str, str], output: Path) -> int:
        """Start a daemon and return its pid."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the supervisor has no pipes")
        order = {"argv": argv, "env": env, "output": str(output)}
        stdin.write(json.dumps(order).encode() + b"\n")
        stdin.flush()
        answer = json.loads(stdout.readline() or '{"error": "the supervisor has died"}')
        if "error" in answer:
            raise OSError(f"{argv[0]}: {answer['error']}")
        return int(answer["pid"])

    def close(self) -> None:
        """Return when the supervisor and all its descendants are gone."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:  # its daemons die with it
            self._process.kill()
            self._process.wait()


def _supervise(directory: Path, parent: int) -> None:
    """Start what standard input asks for, until it ends; then leave no process and no file."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])

    if prctl(_PR_SET_CHILD_SUBREAPER, 1) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    try:
        for order in _orders(parent):
            try:
                with open(order["output"], "ab") as output:
                    daemon = subprocess.Popen(
                        order["argv"],
                        env=order["env"],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        cwd=directory,
                        start_new_session=True,
                        preexec_fn=die_with_parent,
                    )
                answer: dict[str, object] = {"pid": daemon.pid}
            except OSError as error:
                answer = {"error": str(error)}
            os.write(1, json.dumps(answer).encode() + b"\n")
    finally:
        _unmount_below(directory)
        _kill_descendants(grace=1.0)
        if not mount_points(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _orders(parent: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of standard input, reaping the dead meanwhile, while the parent lives.

    A forked child of the tests may hold the other end of the pipe open, so that the end of file
    alone doesn't tell of the tests' death.
    """
    buffer = b""
    while os.getppid() == parent:
        _reap()
        if not select.select([0], [], [], 0.2)[0]:
            continue
        if not (data := os.read(0, 1 << 16)):
            return
        *lines, buffer = (buffer + data).split(b"\n")
        yield from map(json.loads, lines)


def mount_points(directory: Path) -> list[Path]:
    """What is mounted below a directory (whose path has nothing that the kernel would escape)."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [Path(point) for point in points if point.startswith(f"{directory}/")]


def _unmount_below(directory: Path) -> None:
    """Take the mounts away, also those that are in use or whose daemons don't answer any more."""
    libc = ctypes.CDLL(None, use_errno=True)
    for point in sorted(mount_points(directory), reverse=True):
        libc.umount2(os.fsencode(point), _MNT_DETACH)


def _reap() -> bool:
    """Collect the dead children; say whether some live."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _kill_descendants(grace: float) -> None:
    """Send SIGTERM to all descendants, SIGKILL after `grace` seconds, and wait for the last."""
    myself = psutil.Process()
    started = time.monotonic()
    asked: set[int] = set()
    pause = threading.Event()
    # The orphans of the dead become children of this process, so "no children" is "none at all".
    while _reap():
        for process in myself.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if time.monotonic() - started > grace:
                    process.kill()
                elif process.pid not in asked:
                    process.terminate()
                    asked.add(process.pid)
        pause.wait(0.02)


if __name__ == "__main__":
    _supervise(Path(sys.argv[1]), int(sys.argv[2]))
