"""Gives a trial that goes on from another one a copy of what that left in its working directory.

A copy, since the other one may be gone on from more than once. It is made beside the directory and
put in its place when it is whole, so that a process killed meanwhile leaves nothing that looks like
a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from orion_hpc.files.layout import make_folder
from orion_hpc.worker.aside import is_kept
from orion_hpc.worker.script_results import LOG, RESULTS


def inherit(parent: str, folder: str, attempt: int) -> None:
    """Make ``folder`` as a copy of ``parent``, unless it is there already.

    What the worker itself wrote there, its log and results, isn't copied.

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
        shutil.copytree(parent, copy, symlinks=True, ignore=_own)
        os.rename(copy, folder)
    except BaseException as error:
        _remove(copy)
        if isinstance(error, OSError) and os.path.isdir(folder):
            return  # an attempt that is thought lost was faster
        if isinstance(error, shutil.Error):
            raise OSError(
                f"the working directory {parent} couldn't be copied: {error.args[0][0][2]}"
            ) from None
        raise


def _copy(folder: str, attempt: int) -> str:
    return f"{folder}.copy-{attempt}"


def _own(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in (LOG, RESULTS) or is_kept(name)]


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
