"""Checks of the arguments that a program passes, and the settings that they give.

So that a wrong argument is an error at once, before anything is written or started.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orion_hpc.client.trial import Trial
from orion_hpc.config.config_files import resolve_over_standing
from orion_hpc.config.resolve import Layer
from orion_hpc.config.settings import Settings, known_keys
from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.model.space import Space
from orion_hpc.worker.function import check_signature


def settings_of(source: str, given: Mapping[str, Any]) -> Settings:
    """Return the settings of a call, merged over those of files and the environment.

    Parameters
    ----------
    source : str
        The function that was called, for error messages.
    given : mapping
        The call's settings; None and empty mappings count as not given. Paths are relative to the
        working directory.

    Raises
    ------
    ConfigurationError
        A setting is wrong; the message lists all that are.
    """
    mapping = {key: value for key, value in given.items() if value not in (None, {})}
    call = Layer(source, mapping, Path.cwd(), home=True)
    return resolve_over_standing([call], needs=("name",))


def check_count(name: str, value: Any, least: int) -> None:
    """Raise ConfigurationError unless ``value`` is an integer of at least ``least``, or None."""
    # Oríon's default for no limit is infinity.
    if value is None or (value == math.inf and isinstance(value, float)):
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(
            f"{name} must be a whole number of at least {least}, not {value!r}"
        )


def check_limits(
    max_trials: Any, max_trials_per_worker: Any, max_broken: Any, idle_timeout: Any
) -> None:
    """Raise ConfigurationError unless the limits of a run are numbers in their ranges, or None."""
    check_count("max_trials", max_trials, least=0)
    check_count("max_trials_per_worker", max_trials_per_worker, least=0)
    check_count("max_broken", max_broken, least=1)
    check_seconds("idle_timeout", idle_timeout)


def check_seconds(name: str, value: Any) -> None:
    """Raise ConfigurationError unless ``value`` is a number from 0, or None."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if value is not None and not good:
        raise ConfigurationError(f"{name} must be a number of seconds from 0, not {value!r}")


def check_callback(name: str, value: Any) -> None:
    """Raise ConfigurationError unless ``value`` can be called, or is None."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} must be a function, not {value!r:.100}")


def check_trial(trial: Any) -> None:
    """Raise ConfigurationError unless ``trial`` is a trial of the Python API."""
    if not isinstance(trial, Trial):
        raise ConfigurationError(
            f"{trial!r:.100} isn't a trial",
            "Pass what suggest() or get_trial() returned.",
        )


def check_function(
    fct: Any, space: Space, kwargs: Mapping[str, Any], trial_arg: str | None
) -> None:
    """Raise ConfigurationError unless ``fct`` takes the arguments that a trial passes."""
    if not callable(fct):
        raise ConfigurationError(
            f"{fct!r:.100} isn't a function", "Pass the function that trials call."
        )
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise ConfigurationError(
            f"kwargs must be a mapping of names to values, not {kwargs!r:.100}"
        )
    names = space.arguments
    if trial_arg is not None and (not isinstance(trial_arg, str) or trial_arg in names):
        what = "is a hyperparameter, too" if trial_arg in names else "isn't the name of an argument"
        raise ConfigurationError(f"trial_arg is {trial_arg!r:.100}, which {what}")
    check_signature(fct, names, kwargs, trial_arg)


def check_options(fct: Any, options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for an option that is hardly meant for ``sbatch``.

    That is an argument of ``fct``, or a misspelt option of those that have a setting.
    """
    try:
        taken = set(inspect.signature(fct).parameters)
    except (TypeError, ValueError):
        taken = set()
    known = [one for one in known_keys(("slurm",)) if one != "additional"]
    for option in options:
        if option in taken:
            raise ConfigurationError(
                f"{option!r} is an argument of the function, not an option of sbatch",
                f"Constants for the function go into kwargs={{{option!r}: …}}.",
            )
        if option not in known and (guess := did_you_mean(option, known)):
            raise ConfigurationError(
                f"there is no option {option!r}{guess}",
                f"Options with a setting of their own are {', '.join(known)}.",
            )
