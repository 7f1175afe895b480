"""Lines of JSON from one host to others, through a file on the file system that they share.

One process writes into a channel, any number read it. The file is there before anybody listens: a
network file system may hide for half a minute that a name has come to be, while a file that is
opened anew shows what is new in it (close-to-open consistency, nfs(5)).
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
        """Make it, empty."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(self.path, flags, 0o600))

    def say(self, message: Mapping[str, Any]) -> None:
        """Add ``message``; OSError if it can't be."""
        data = json.dumps(message).encode() + b"\n"
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)

    def heard(self) -> list[dict[str, Any]]:
        """Return all messages so far; OSError if they can't be read.

        One that has arrived in part only is left for the next time, and so is what follows it.
        """
        with open(self.path, "rb") as file:
            lines = file.read().split(b"\n")[:-1]
        messages: list[dict[str, Any]] = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:  # a page that isn't there yet reads as zeros
                break
            if isinstance(message, dict):
                messages.append(message)
        return messages
