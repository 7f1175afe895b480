"""The exceptions of this package, in one tree.

Each has a message that names the thing and the cause, and a hint with the next step. ``exit_code``
is the exit status of the command line: 2 if the user's input is wrong and nothing was written,
otherwise 1.
"""

from __future__ import annotations

from collections.abc import Iterable


class OrionHpcError(Exception):
    """Base class of all exceptions of this package.

    Parameters
    ----------
    message : str
        One sentence: the thing and the cause.
    hint : str, default ""
        The next step, if there is one.

    Attributes
    ----------
    exit_code : int
        The exit status of the command line.

    Examples
    --------
    >>> from orion_hpc.client import get_experiment
    >>> from orion_hpc.errors import OrionHpcError
    >>> try:
    ...     get_experiment("demo", mode="read")
    ... except OrionHpcError as error:
    ...     print(error)
    ...     print("exit code", error.exit_code)
    there is no mode 'read'
    Use 'r' to read, 'w' to insert trials, 'x' to run them.
    exit code 2
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigurationError(OrionHpcError):
    """An argument, a setting, a flag or the configuration file is wrong."""

    exit_code = 2


class InvalidPrior(ConfigurationError):
    """A prior of the search space is wrong; the message names the dimension and the position.

    Examples
    --------
    >>> from orion_hpc.model.space import Space
    >>> Space.parse({"lr": "loguniform(0, 1)"})
    Traceback (most recent call last):
        ...
    orion_hpc.errors.InvalidPrior: lr: low isn't above 0, at column 12 of 'loguniform(0, 1)'
      loguniform(0, 1)
                 ^
    A logarithmic scale has no zero; begin at a small number such as 1e-6.
    """


class NoConfigurationError(ConfigurationError):
    """The database has no experiment of this name (and version)."""


class ExperimentConflict(ConfigurationError):
    """The experiment exists with another space or algorithm."""


class ImportRefused(ConfigurationError):
    """Another program's file can't be imported; nothing was written."""


class WorkersAlive(ConfigurationError):
    """Workers are running, which this operation doesn't allow; nothing was written."""


class AlgorithmError(OrionHpcError):
    """An algorithm violates the protocol, which only its author can fix.

    Parameters
    ----------
    message : str
    hint : str, optional
        By default, that its author must fix it and how to continue then.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        fix = "Its author must fix that; then 'orion-hpc submit CONFIG' continues."
        super().__init__(message, hint or fix)


class LaunchError(ConfigurationError):
    """Jobs couldn't be started; none runs."""


class StorageError(OrionHpcError):
    """The database can't be read or written."""


class StorageUnusable(StorageError):
    """The database's path can't hold a database; nothing was written."""

    exit_code = 2


class DamagedDatabase(StorageError):
    """Bytes in the middle of the journal differ from what was written."""


class LockTimeout(StorageError):
    """The database's lock wasn't acquired in time."""


class InvalidResult(OrionHpcError, ValueError):
    """What a trial returned or reported isn't a result."""


class InvalidParams(ConfigurationError, ValueError):
    """The hyperparameters aren't a point of the search space."""


class DuplicateKeyError(OrionHpcError, RuntimeError):
    """The experiment already has a trial with these hyperparameters."""


class TrialInterrupted(OrionHpcError):
    """Raised by a trial's function to be interrupted; a later attempt continues it.

    Parameters
    ----------
    message : str, default ""
        Recorded with the trial.

    Examples
    --------
    >>> from orion_hpc.client import workon
    >>> from orion_hpc.errors import TrialInterrupted
    >>> def train(x, trial):
    ...     if trial.attempt == 1:
    ...         raise TrialInterrupted("the checkpoint is saved")
    ...     return x
    >>> experiment = workon(train, {"x": "choices([4])"}, max_trials=1, trial_arg="trial")
    >>> [(trial.status, trial.attempt) for trial in experiment.fetch_trials()]
    [('completed', 2)]
    """

    def __init__(self, message: str = "", hint: str = "") -> None:
        super().__init__(message, hint)


class UnsupportedOperation(OrionHpcError):
    """The mode of the experiment's client doesn't allow the method."""


class CompletedExperiment(OrionHpcError):
    """The experiment is done, so there is no further trial to run.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> from orion_hpc.errors import CompletedExperiment
    >>> experiment = build_experiment("demo", space={"x": "choices([1, 2])"}, debug=True)
    >>> while True:
    ...     try:
    ...         trial = experiment.suggest()
    ...     except CompletedExperiment:
    ...         break
    ...     experiment.observe(trial, trial.params["x"])
    >>> experiment.stats.trials_completed
    2
    """


class BrokenExperiment(OrionHpcError):
    """``max_broken`` trials are broken, so the experiment has stopped."""


class WaitingForTrials(OrionHpcError):
    """All trials that can run now are running; another may follow when one of them ends."""


class ReservationRaceCondition(OrionHpcError):
    """Other workers reserved the trials first, several times in a row."""


class LazyWorkers(OrionHpcError):
    """There was no trial to run for ``idle_timeout`` seconds."""


class ReservationLost(OrionHpcError, RuntimeError):
    """The client doesn't hold the trial, or doesn't any more."""


class AlreadyReleased(ReservationLost):
    """The client has already released or observed the trial."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``' (did you mean x?)'`` for the nearest of ``choices``, or ``''``.

    Examples
    --------
    >>> from orion_hpc.errors import did_you_mean
    >>> did_you_mean("jobli", ["joblib", "dask"])
    ' (did you mean joblib?)'
    """
    import difflib

    near = difflib.get_close_matches(str(word), [str(c) for c in choices], n=1, cutoff=0.65)
    return f" (did you mean {near[0]}?)" if near else ""
