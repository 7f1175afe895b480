"""The one tree of exceptions: what can go wrong, told to a person.

Every error carries a message that names the thing and the cause, and a hint that says what to do
next. ``exit_code`` is what the command line exits with: 2 where the user's input is at fault and
nothing was written, 1 otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable


class OrionHpcError(Exception):
    """Base of everything this package raises on purpose.

    Parameters
    ----------
    message : str
        One sentence: the thing and the cause.
    hint : str, default ""
        The next step, where there is one.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigurationError(OrionHpcError):
    """A setting, a flag or the configuration file is wrong."""

    exit_code = 2


class InvalidPrior(ConfigurationError):
    """A prior of the search space is wrong; names the dimension, the text and the place in it."""


class NoConfigurationError(ConfigurationError):
    """There is no experiment of this name (and version) in the database."""


class ExperimentConflict(ConfigurationError):
    """An experiment of this name and version exists with other settings."""


class ImportRefused(ConfigurationError):
    """Another program's file can't be imported; nothing was written."""


class WorkersAlive(ConfigurationError):
    """What is asked for can't be done while somebody is at work; nothing was written."""


class AlgorithmError(OrionHpcError):
    """An algorithm doesn't do what it should, which is its author's to mend."""

    def __init__(self, message: str, hint: str = "") -> None:
        mend = "Its author has to mend that; then 'orion-hpc submit CONFIG' goes on."
        super().__init__(message, hint or mend)


class LaunchError(ConfigurationError):
    """Jobs couldn't be started; nothing runs."""


class StorageError(OrionHpcError):
    """The database can't be read or written."""


class StorageUnusable(StorageError):
    """The path given for the database can't serve as one: nothing was written."""

    exit_code = 2


class DamagedDatabase(StorageError):
    """Bytes in the middle of the journal aren't what was written there."""


class LockTimeout(StorageError):
    """The database's lock wasn't had in time."""


class InvalidResult(OrionHpcError, ValueError):
    """What a trial returned isn't a result."""


class InvalidParams(ConfigurationError, ValueError):
    """These hyperparameters aren't a point of the search space."""


class DuplicateKeyError(OrionHpcError):
    """The experiment has a trial with these hyperparameters already."""


class TrialInterrupted(OrionHpcError):
    """Raised by a trial's function to end early: it goes on another time, where it left off.

    Parameters
    ----------
    message : str, default ""
        What to tell of it.
    """

    def __init__(self, message: str = "", hint: str = "") -> None:
        super().__init__(message, hint)


class UnsupportedOperation(OrionHpcError):
    """The experiment was opened for reading only, or without the right to run trials."""


class CompletedExperiment(OrionHpcError):
    """The experiment is done: there is no further trial to be run."""


class BrokenExperiment(OrionHpcError):
    """So many trials are broken that the experiment doesn't go on."""


class WaitingForTrials(OrionHpcError):
    """All trials that can be run now are being run; there may be others when one of them ends."""


class ReservationRaceCondition(OrionHpcError):
    """Other workers were faster to reserve, several times in a row."""


class LazyWorkers(OrionHpcError):
    """There was no trial to be run for the idle timeout."""


class ReservationLost(OrionHpcError, RuntimeError):
    """The trial isn't reserved by this client, or isn't any more."""


class AlreadyReleased(ReservationLost):
    """This client has released the trial before."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``' (did you mean x?)'`` for the nearest of ``choices``, or ``''``."""
    import difflib

    near = difflib.get_close_matches(str(word), [str(c) for c in choices], n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""
