"""The forms of the options that algorithms have in common. Each check raises ConfigurationError.

And what there is to say of them. Knows no algorithm.
"""

from __future__ import annotations

from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean

STRATEGIES = ("max", "mean", "min", "none")


def check_count(
    title: str, value: Any, example: str, least: int = 1, most: int | None = None
) -> None:
    """Raise ConfigurationError unless ``value`` is a whole number from ``least`` to ``most``.

    ``example`` is a value to write, and may go on with what else there is to do. ``most`` is for
    what is made at once, in memory: a slip of the keyboard mustn't fill it.
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
    """Return the advice for a search that ends before its algorithm has learned anything."""
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
    """Raise ConfigurationError unless it is a strategy for pending trials, or None."""
    if value is not None and value not in STRATEGIES:
        raise ConfigurationError(
            f"strategy is {value!r:.60}{did_you_mean(str(value), STRATEGIES)}",
            f"There are: {', '.join(STRATEGIES)}; or leave it out.",
        )
