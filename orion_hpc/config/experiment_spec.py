"""The resolved specification of an experiment: space, algorithm, function or command, limits.

A command resolves it once from the settings; everything below takes it. It doesn't depend on a
database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.factory import normalise, orion_notes
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState

if TYPE_CHECKING:
    from orion_hpc.config.settings import Settings, WorkerOptions

_LIMITS = ("max_trials", "max_broken", "max_attempts", "working_dir")


@dataclass(frozen=True, slots=True)
class ExperimentSpec:
    """The specification of an experiment.

    Attributes
    ----------
    name : str
    version : int or None
        None means the highest version that exists, or 1.
    space : Space
    algorithm : mapping
        ``{name: options}`` with every option; the seed is None if none was given.
    algorithm_notes : tuple of str
        Sentences on options of Oríon's that have no effect.
    function, command, kwargs, trial_arg, directory
        The function or command of a trial, as in :class:`~orion_hpc.config.settings.Settings`;
        ``directory`` holds its modules.
    max_trials, max_broken, max_attempts, working_dir
        As in the settings.
    defaulted : frozenset of str
        Those of ``max_trials`` and ``max_broken`` that no source gives.
    warm_start : mapping or None
        The experiment to learn from: ``name``, ``version`` and ``storage``.
    worker : WorkerOptions
    lock, allow_group
        Options of a new database.
    """

    name: str
    version: int | None
    space: Space
    algorithm: Mapping[str, Mapping[str, Any]]
    algorithm_notes: tuple[str, ...]
    function: str | None
    command: tuple[str, ...] | None
    kwargs: Mapping[str, Any]
    trial_arg: str | None
    directory: str
    max_trials: int | None
    max_broken: int
    max_attempts: int
    working_dir: str | None
    defaulted: frozenset[str]
    warm_start: Mapping[str, Any] | None
    worker: WorkerOptions
    lock: str | None
    allow_group: bool

    @classmethod
    def of(cls, settings: Settings, recorded: Mapping[str, Any] | None = None) -> ExperimentSpec:
        """Return the specification of the experiment that ``settings`` describe.

        Parameters
        ----------
        settings : Settings
            They must have a name.
        recorded : mapping, optional
            The configuration in the database; it gives the space and the algorithm if the settings
            don't.

        Raises
        ------
        ConfigurationError
            Neither gives a space.
        """
        space, algorithm = settings.parsed_space, settings.algorithm
        if recorded is not None:
            space = space or Space.parse(recorded["space"])
            if settings.origin("algorithm") == "defaults":
                algorithm = recorded["algorithm"]
        if space is None:
            raise ConfigurationError(
                f"experiment {settings.name!r} has no space",
                "Give one, such as space={'lr': 'loguniform(1e-5, 1)'}.",
            )
        return cls(
            name=str(settings.name),
            version=settings.version,
            space=space,
            algorithm=normalise(algorithm),
            algorithm_notes=tuple(orion_notes(algorithm)),
            function=settings.function,
            command=settings.command,
            kwargs=settings.kwargs,
            trial_arg=settings.trial_arg,
            directory=str(settings.directory),
            max_trials=settings.max_trials,
            max_broken=settings.max_broken,
            max_attempts=settings.max_attempts,
            working_dir=settings.working_dir,
            defaulted=frozenset(
                key for key in ("max_trials", "max_broken") if settings.origin(key) == "defaults"
            ),
            warm_start=settings.warm_start,
            worker=settings.worker,
            lock=settings.lock,
            allow_group=settings.allow_group,
        )

    def configuration(self, seed: int | None = None) -> dict[str, Any]:
        """Return the configuration that the database records, as plain data.

        Parameters
        ----------
        seed : int, optional
            The seed of an algorithm without one, for a new experiment, whose space is settled, too.
            By default both stay as they are given, which
            :func:`~orion_hpc.config.experiment_identity.differences` accepts for any seed and any
            default precision.
        """
        space = self.space if seed is None else self.space.settled()
        return {
            "space": dict(space.configuration),
            "algorithm": normalise(self.algorithm, seed),
            "function": self.function,
            "command": None if self.command is None else list(self.command),
            "kwargs": self.kwargs,
            "trial_arg": self.trial_arg,
            "path": self.directory,
            **{key: getattr(self, key) for key in _LIMITS},
            "worker": self.worker.model_dump(),
        }

    def limits(self, experiment: ExperimentState | None) -> tuple[int | None, int]:
        """Return ``max_trials`` and ``max_broken``; one not given is as in ``experiment``."""
        if experiment is None:
            return self.max_trials, self.max_broken
        return (
            experiment.max_trials if "max_trials" in self.defaulted else self.max_trials,
            experiment.max_broken if "max_broken" in self.defaulted else self.max_broken,
        )
