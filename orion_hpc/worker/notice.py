"""A worker's stop notice as its trials learn of it, in whatever process of whatever host they run.

That is a file beside the signs of life. When notices come is left to ``stop``, and for how long
trials have to themselves then to ``grace``.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.atomic import new_file


class Notice:
    """The file that says that a worker was told to stop.

    Parameters
    ----------
    path : str or None
        None where no trial can look.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.over = False
        """Whether it was withdrawn for good."""
        self._posted = False
        self._lock = threading.Lock()

    def post(self, signal: str) -> None:
        """Let the trials know. One that can't be told is ended when its time is over."""
        with self._lock:
            if self.path is not None and not self._posted and not self.over:
                self._write(self.path, signal)

    def withdraw(self) -> None:
        """Remove the file, now that no trial of this worker runs any more."""
        with self._lock:
            self.over = True
            if self.path is not None and self._posted:
                with suppress(OSError):
                    os.unlink(self.path)

    def _write(self, path: str, signal: str) -> None:
        folder = os.path.dirname(path)
        with suppress(OSError):
            layout.make_folder(folder)
            # Whole from the start: a trial that finds it reads it.
            new = f"{path}.new"
            with new_file(path, 0o600, replace=True, durable=False, temporary=new) as file:
                layout.share(file.fileno(), folder)
                file.write(signal.encode())
            self._posted = True


def posted(path: str | None) -> str:
    """Return the name of the signal that the worker was told to stop with, ``''`` without one."""
    if path is None:
        return ""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(32)
    except OSError:
        return ""
