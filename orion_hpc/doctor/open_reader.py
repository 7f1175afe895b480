"""A process that only reads a file: it keeps it open and reads it again and again, by the cache.

What a host's page cache has of a file for a reader may get in the way of a writer there: on NFS 4
an append that goes through it can put zeros over what another host has written. It reads no more
than twice a second: with ``noac`` each read fetches the page anew.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
from types import TracebackType

_PROGRAM = """
import os, select, sys
fd, told, pause = -1, False, 0.02
while not select.select([0], [], [], pause)[0]:
    try:
        if fd < 0:
            fd = os.open(sys.argv[1], os.O_RDONLY)
        os.pread(fd, 1 << 20, 0)
    except OSError:
        if fd >= 0:
            os.close(fd)
        fd = -1
    else:
        told = told or os.write(1, b".")
        pause = 0.5
"""
_BEGIN_TIME, _END_TIME = 15.0, 5.0


class Reading:
    """Such a process for the file at ``path``, from :meth:`start` to :meth:`close`.

    It ends with the process that started it, whatever becomes of that: its standard input does.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start it unless it runs; return whether it has read the file."""
        if self._process is not None:
            return True
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, self._path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is its owner's
        )
        output = self._process.stdout
        return output is not None and bool(
            select.select([output], [], [], _BEGIN_TIME)[0] and output.read(1)
        )

    def close(self) -> None:
        """End it: a file that it has open can't be removed for good on NFS."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(_END_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Reading:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
