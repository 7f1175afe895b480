"""What submitit leaves for a job: removed by the job itself, when it is over for good.

One that goes back into the queue needs its file of what to call again, and Slurm requeues preempted
ones by itself, so nothing is removed after a stop notice. The file of what was returned is written
after the function's end, and so both are removed as the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable
from typing import Any


def tidying(call: tuple[Callable[[Any], Any], Any, Callable[[], tuple[str, ...]]]) -> Any:
    """Call a job's function, ``call[0](call[1])``; the files ``call[2]()`` go with the process."""
    function, argument, files = call
    try:
        result = function(argument)
    except Exception:  # its log tells
        atexit.register(remove, files())
        raise
    if not (getattr(result, "stopped", False) or getattr(result, "too_late", False)):
        atexit.register(remove, files())
    return result


def remove(paths: tuple[str, ...]) -> None:
    """Remove files that may be gone already."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
