"""How to make a client of NFS ask its server again for permissions that it has cached."""

from __future__ import annotations

import contextlib
import os


def ask_again(path: str) -> None:
    """Make the client forget that access to ``path`` was refused.

    NFS 3 caches the server's answer until the file or directory changes. After an export was
    read-only for a while, a file that all processes wait to write to would be refused for ever.
    Setting its times changes it, if the server accepts changes again.
    """
    with contextlib.suppress(OSError):
        os.utime(path)
