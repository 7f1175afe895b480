"""What a client of NFS remembers of permissions, and how to have it ask its server again."""

from __future__ import annotations

import contextlib
import os


def ask_again(path: str) -> None:
    """Have the client forget that something at ``path`` was refused.

    NFS 3 keeps the server's answer for as long as the file or directory doesn't change: after an
    export was read-only for a while, a file that everybody waits to write to is refused for ever.
    To set its times changes it, if the server takes that again.
    """
    with contextlib.suppress(OSError):
        os.utime(path)
