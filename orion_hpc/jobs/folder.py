"""A folder for each launch, below the experiment's ``jobs``: files of two launches can't collide.

It holds the file from which the jobs read their settings, and what the launcher puts there.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace

from orion_hpc.errors import LaunchError
from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.sharedfs import atomic, layout
from orion_hpc.sharedfs.hints import hint


def new_folder(parent: str, launcher: str) -> str:
    """Return a path in ``parent`` that no other launch uses; nothing is created."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return os.path.join(parent, f"{launcher}-{stamp}-{os.getpid()}-{os.urandom(4).hex()}")


def in_folder(request: LaunchRequest, folder: str) -> LaunchRequest:
    """Return ``request`` for the launch with this folder, from which its jobs read their settings.

    Nothing is written.
    """
    if request.spec is None:
        return replace(request, folder=folder)
    path = os.path.join(folder, layout.JOB_SPEC)
    return replace(request, folder=folder, argument=path, command=(*request.command, path))


@contextlib.contextmanager
def provided(request: LaunchRequest) -> Iterator[None]:
    """Make the launch's folder for the block, with the jobs' settings in it.

    ``request`` is what :func:`in_folder` returned. If the block fails, the folder goes with all
    that is in it.

    Raises
    ------
    StorageUnusable
        It can't be created.
    LaunchError
        The block couldn't write into it, or couldn't start a program.
    """
    folder = request.folder
    with layout.provided(folder):
        try:
            # Two processes that create the experiment's folder may each leave it to the other.
            layout.make_folder(folder, 0o700)
            if request.spec is not None:
                _write_spec(folder, request.spec)
            yield
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            what = f": {error.filename}" if error.filename else ""
            raise LaunchError(
                f"the jobs couldn't be started: {error.strerror or error}{what}",
                hint(
                    error.errno,
                    folder,
                    f"Is there space, and may you write, in {os.path.dirname(folder)}?",
                ),
            ) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def job_preview(request: LaunchRequest) -> str:
    """Return a job's command line and, as comments, the settings that it would read."""
    command = shlex.join((*request.command, layout.JOB_SPEC) if request.spec else request.command)
    lines = (request.spec or "").splitlines()
    return "\n".join([command, *(f"# {line}" for line in lines)])


def _write_spec(folder: str, spec: str) -> None:
    mode = 0o660 if layout.is_shared(folder) else 0o600
    # Renamed, not linked, into its place: some file systems of clusters have no hard links.
    path = os.path.join(folder, layout.JOB_SPEC)
    with atomic.new_file(path, mode, replace=True) as file:
        file.write(spec.encode())


def escaped(folder: str) -> str:
    """Return ``folder`` for sbatch's ``--output``, where ``%`` is special."""
    return folder.replace("%", "%%")
