"""The seam of launchers, which start jobs that each run one worker.

A launcher knows nothing of experiments: it gets a function, its argument, and a number of jobs.
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
    """What to start.

    Attributes
    ----------
    function, argument
        Each job calls ``function(argument)``; both are pickled.
    command : tuple of str
        The same as a command line, for launchers that take no function.
    spec : str or None
        The content of a file in the launch's folder from which each job reads its settings. Its
        path takes the place of ``argument``, which is for a job in this process, and becomes the
        last word of ``command``: see :func:`orion_hpc.jobs.folder.in_folder`.
    tasks : int
        How many jobs.
    folder : str
        Where each launch makes a folder of its own for scripts and logs.
    title : str
        The jobs' name where the options don't give one.
    options : mapping of str to (str or True)
        Options of ``sbatch`` by their long names, without dashes in front.
    throttle : int or None
        How many jobs may run at once.
    environment : mapping of str to str
        Variables that the jobs must have from the start, before they load any library.
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
    """Jobs that were started.

    Attributes
    ----------
    ids : tuple of str
        The launcher's ids; one for a whole array.
    logs : str
        Where their output goes; a pattern that the shell understands.
    stopped : bool
        Whether a stop notice ended them before the launch was over.

    ``alive`` and ``failures`` are for jobs on this machine only.
    """

    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def logs(self) -> str: ...
    @property
    def stopped(self) -> bool: ...
    def alive(self) -> int:
        """Return how many still run."""
        ...

    def ended(self) -> bool:
        """Return whether all are known to have ended; False also means that it is unknown."""
        ...

    def stop(self, wait: float, force: bool = True) -> None:
        """Give the jobs their stop notice and ``wait`` seconds; with ``force``, then kill them."""
        ...

    def failures(self) -> list[str]:
        """Return a line for each job that ended by a failure of its own."""
        ...


class Launcher(Protocol):
    """Starts jobs."""

    @property
    def name(self) -> str: ...

    @property
    def detached(self) -> bool:
        """Whether jobs outlive this process, and may be refused (a batch system)."""
        ...

    def check(self) -> None:
        """Raise LaunchError if this launcher can't be used on this machine."""
        ...

    def launch(self, request: LaunchRequest) -> Jobs:
        """Start the jobs of ``request``.

        Raises
        ------
        LaunchError
            They couldn't be started; none runs.
        """
        ...

    def preview(self, request: LaunchRequest) -> str:
        """Return what :meth:`launch` would start, as text; start nothing."""
        ...


def make_launcher(name: str) -> Launcher:
    """Return the launcher called ``name``; ConfigurationError lists those there are."""
    launcher: Launcher = plugins.load("launcher", name, BUILTIN)()
    return launcher
