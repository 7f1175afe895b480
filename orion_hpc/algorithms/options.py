"""Checks of the options that several algorithms have, and the advice that follows from them.

Which options an algorithm has is left to its own module.
"""

from __future__ import annotations

from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean

STRATEGIES = ("max", "mean", "min", "none")


def check_count(
    title: str, value: Any, example: str, least: int = 1, most: int | None = None
) -> None:
    """Raise ConfigurationError unless ``value`` is a whole number from ``least`` to ``most``.

    Parameters
    ----------
    title : str
        The option.
    value : Any
    example : str
        A valid value for the hint, and possibly an alternative.
    least : int, default 1
    most : int, optional
        For options that allocate memory, so that a typing error doesn't exhaust it.
    """
    if most is not None and type(value) is int and value > most:
        raise ConfigurationError(
            f"{title} is {value!r:.60}, more than {most:,}", f"Write {title}: {example}."
        )
    if type(value) is not int or value < least:
        raise ConfigurationError(
            f"{title} is {value!r:.60}, not a whole number of at least {least}",
            f"Write {title}: {example}.",
        )


def all_random(name: str, option: str, first: int, max_trials: int) -> list[str]:
    """Return the advice for a search that ends before its algorithm uses any result.

    Parameters
    ----------
    name : str
        The algorithm.
    option : str
        Its option for the number of random trials.
    first : int
        The option's value.
    max_trials : int
    """
    if max_trials > first:
        return []
    return [
        f"every trial is random: {name} begins after {first} ({option}: {first}), and max_trials "
        f"is {max_trials}"
    ]


def check_flag(title: str, value: Any) -> None:
    """Raise ConfigurationError unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise ConfigurationError(
            f"{title} is {value!r:.60}, not true or false", f"Write {title}: true."
        )


def check_share(title: str, value: Any, example: float) -> None:
    """Raise ConfigurationError unless ``value`` is a number between 0 and 1."""
    if not (_is_number(value) and 0 < value < 1):
        raise ConfigurationError(
            f"{title} is {value!r:.60}, not a number between 0 and 1", f"Write {title}: {example}."
        )


def check_probability(title: str, value: Any, example: float) -> None:
    """Raise ConfigurationError unless ``value`` is a number from 0 to 1."""
    if not (_is_number(value) and 0 <= value <= 1):
        raise ConfigurationError(
            f"{title} is {value!r:.60}, not a number from 0 to 1", f"Write {title}: {example}."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_strategy(value: Any) -> None:
    """Raise ConfigurationError unless ``value`` is a strategy for pending trials, or None."""
    if value is not None and value not in STRATEGIES:
        raise ConfigurationError(
            f"strategy is {value!r:.60}{did_you_mean(str(value), STRATEGIES)}",
            f"There are: {', '.join(STRATEGIES)}; or leave it out.",
        )
