"""The interface of launchers, which start jobs that each run one worker.

A launcher doesn't depend on experiments: it gets a function, its argument, and a number of jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orion_hpc import plugins

BUILTIN = {
    "slurm": "orion_hpc.jobs.slurm:SlurmLauncher",
    "local": "orion_hpc.jobs.local:LocalLauncher",
    "debug": "orion_hpc.jobs.debug:DebugLauncher",
}


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A request to start jobs.

    Attributes
    ----------
    function, argument
        Each job calls ``function(argument)``; both are pickled.
    command : tuple of str
        The same as a command line, for launchers that take no function.
    spec : str or None
        The content of the file in the launch's folder from which each job reads its settings. The
        file's path replaces ``argument``, which is for a job in this process, and becomes the last
        word of ``command``: see :func:`orion_hpc.jobs.folder.in_folder`.
    tasks : int
        The number of jobs.
    folder : str
        The directory in which each launch creates its own folder for scripts and logs.
    title : str
        The default name of the jobs, if the options give none.
    options : mapping of str to (str or True)
        Options of ``sbatch`` by their long names, without dashes in front.
    throttle : int or None
        The number of jobs that may run at once.
    environment : mapping of str to str
        Variables that must be set when a job starts, before it loads any library.
    """

    function: Callable[[Any], Any]
    argument: Any
    command: tuple[str, ...]
    tasks: int
    folder: str
    title: str
    options: Mapping[str, str | bool] = field(default_factory=dict)
    throttle: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    spec: str | None = None


class Jobs(Protocol):
    """The jobs of one launch; ``alive`` and ``failures`` are for jobs on this machine only.

    Attributes
    ----------
    ids : tuple of str
        The launcher's ids; one for a whole array.
    logs : str
        The paths of their output, as a shell pattern.
    stopped : bool
        Whether a stop notice ended them before the launch was over.
    """

    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def logs(self) -> str: ...
    @property
    def stopped(self) -> bool: ...
    def alive(self) -> int:
        """Return the number of running jobs."""
        ...

    def ended(self) -> bool:
        """Return whether all jobs are known to have ended; False if this is unknown."""
        ...

    def stop(self, wait: float, force: bool = True) -> None:
        """Send the jobs a stop notice and wait ``wait`` seconds; with ``force``, then kill them."""
        ...

    def failures(self) -> list[str]:
        """Return a line for each job that failed by itself."""
        ...


class Launcher(Protocol):
    """Starts jobs in one way: in a batch system, or as local processes."""

    @property
    def name(self) -> str: ...

    @property
    def detached(self) -> bool:
        """Whether jobs outlive this process, and may be refused (a batch system)."""
        ...

    def check(self) -> None:
        """Raise LaunchError if this machine can't use the launcher."""
        ...

    def launch(self, request: LaunchRequest) -> Jobs:
        """Start the jobs of ``request``.

        Raises
        ------
        LaunchError
            The jobs couldn't be started; none runs.
        """
        ...

    def preview(self, request: LaunchRequest) -> str:
        """Return what :meth:`launch` would start, as text; start nothing."""
        ...


def make_launcher(name: str) -> Launcher:
    """Return the launcher called ``name``.

    Raises
    ------
    ConfigurationError
        The launcher is unknown; the message lists the known ones.
    """
    launcher: Launcher = plugins.load("launcher", name, BUILTIN)()
    return launcher
