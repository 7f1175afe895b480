"""Messages from one host to others, as lines of JSON in a file on the file system they share.

One process writes into a channel, any number read it. The file is created before anyone reads: a
network file system may hide a new name for half a minute, while a file that is opened again shows
its new content (close-to-open consistency, nfs(5)).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any


class Channel:
    """The channel at ``path``."""

    def __init__(self, path: str) -> None:
        self.path = path

    def create(self) -> None:
        """Create the file, empty."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(self.path, flags, 0o600))

    def send(self, message: Mapping[str, Any]) -> None:
        """Append ``message``; raise OSError if that fails."""
        data = json.dumps(message).encode() + b"\n"
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)

    def messages(self) -> list[dict[str, Any]]:
        """Return all messages so far; raise OSError if they can't be read.

        A message that is only partly visible, and all that follow it, are left for the next call.
        """
        with open(self.path, "rb") as file:
            lines = file.read().split(b"\n")[:-1]
        messages: list[dict[str, Any]] = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:  # a page that hasn't arrived yet reads as zeros
                break
            if isinstance(message, dict):
                messages.append(message)
        return messages
