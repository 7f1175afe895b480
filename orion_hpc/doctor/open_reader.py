"""A process that only reads a file: it keeps it open and reads it repeatedly through the cache.

The page cache that a reader fills may damage a write on the same host: on NFS 4 an append through
it can write zeros over what another host has written. The process reads at most twice a second:
with ``noac`` each read fetches the page again.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
from types import TracebackType

_PROGRAM = """
import os, select, sys
fd, reported, pause = -1, False, 0.02
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
        reported = reported or os.write(1, b".")
        pause = 0.5
"""
_BEGIN_TIME, _END_TIME = 15.0, 5.0


class ReaderProcess:
    """The reader of the file at ``path``, from :meth:`start` to :meth:`close`.

    It ends when its standard input is closed, and so with the process that started it.
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
            start_new_session=True,  # so that Ctrl-C doesn't reach it
        )
        output = self._process.stdout
        return output is not None and bool(
            select.select([output], [], [], _BEGIN_TIME)[0] and output.read(1)
        )

    def close(self) -> None:
        """End the process: a file that it has open can't be removed completely on NFS."""
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

    def __enter__(self) -> ReaderProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
