"""Copies the working directory of a trial for another trial that goes on from it.

A copy, since several trials may go on from one. It is made beside the directory and renamed to it
when it is complete, so that a process killed meanwhile leaves nothing that looks like a checkpoint.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable

from orion_hpc.sharedfs.layout import make_folder
from orion_hpc.worker.script_results import LOG, RESULTS
from orion_hpc.worker.unrecorded_results import is_kept

log = logging.getLogger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PATIENCE = 600.0
"""Seconds to wait for room."""
_SHORTEST, _LONGEST = 0.5, 15.0


def inherit_in_time(parent: str, folder: str, attempt: int, stopped: Callable[[], bool]) -> bool:
    """Do as :func:`inherit`; where the disk is full, wait for room.

    A full disk is no fault of the trial, and would break every one that goes on now.

    Parameters
    ----------
    stopped : callable
        Returns whether there is no time left to wait.

    Returns
    -------
    bool
        Whether it was done; False: given up, since there is no time left.

    Raises
    ------
    OSError
        As by :func:`inherit`; for lack of room after ten minutes.
    """
    end, pause = time.monotonic() + _PATIENCE, _SHORTEST
    while True:
        try:
            inherit(parent, folder, attempt)
            return True
        except OSError as error:
            if error.errno not in _FULL or time.monotonic() >= end:
                raise
            log.warning("%s; waiting for room, for %.0f s at most", error, end - time.monotonic())
        until = time.monotonic() + pause
        while time.monotonic() < until:
            if stopped():
                return False
            time.sleep(min(0.2, pause))
        pause = min(2 * pause, _LONGEST)


def inherit(parent: str, folder: str, attempt: int) -> None:
    """Make ``folder`` as a copy of ``parent``, unless it is there already.

    What the worker itself wrote there, its log and results, isn't copied, nor are sockets, pipes
    and devices. A link by an absolute path into ``parent`` leads to the same place in ``folder``.

    Parameters
    ----------
    parent, folder : str
        Working directories. The parent's needn't exist: it may have left nothing.
    attempt : int
        Of the trial that goes on. No two attempts write to the same place.

    Raises
    ------
    OSError
        It can't be read or written.
    """
    if os.path.lexists(folder) or not os.path.isdir(parent):
        return
    for earlier in range(1, attempt + 1):
        _remove(_copy(folder, earlier))
    make_folder(os.path.dirname(folder))
    copy = _copy(folder, attempt)
    try:
        shutil.copytree(parent, copy, symlinks=True, ignore=_left_out(parent))
        _redirect(copy, parent, folder)
        os.rename(copy, folder)
    except BaseException as error:
        _remove(copy)
        if isinstance(error, OSError) and os.path.isdir(folder):
            return  # an attempt that counts as lost was faster
        if isinstance(error, OSError):
            raise _explained(error, parent) from None
        raise


def _explained(error: OSError, parent: str) -> OSError:
    """Return the error with what couldn't be done; of several, which come as texts, the first."""
    number, why = error.errno, error.strerror or str(error)
    if isinstance(error, shutil.Error):
        why = str(error.args[0][0][2])
        if found := re.match(r"\[Errno (\d+)\] ([^:]*)", why):
            number, why = int(found[1]), found[2]
    message = f"the working directory {parent} couldn't be copied: {why}"
    return OSError(message) if number is None else OSError(number, message)


def _copy(folder: str, attempt: int) -> str:
    return f"{folder}.copy-{attempt}"


def _left_out(parent: str) -> Callable[[str, list[str]], list[str]]:
    """Return a filter for ``copytree``: from a directory and its names, those not to copy."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        # Below the top, files of these names are the user's.
        top = folder == parent
        return [
            name
            for name in names
            if (top and (name in (LOG, RESULTS) or is_kept(name)))
            or _is_special(os.path.join(folder, name))
        ]

    return left_out


def _is_special(path: str) -> bool:
    """Return whether it is a socket, a pipe or a device, which can't be copied."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False  # copytree reports it better
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def _redirect(copy: str, parent: str, folder: str) -> None:
    """Let links into ``parent`` lead into ``folder``: through ``latest -> /…/3/epoch7`` trial 8
    would write into what trial 3 left, from which others may go on."""
    inside = parent.rstrip(os.sep) + os.sep
    for place, folders, files in os.walk(copy):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            if not os.path.islink(path):
                continue
            target = os.readlink(path)
            if (target + os.sep).startswith(inside):
                os.unlink(path)
                os.symlink(os.path.join(folder, target[len(inside) :]).rstrip(os.sep), path)


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
