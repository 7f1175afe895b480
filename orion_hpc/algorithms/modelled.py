"""What the algorithms that are samplers of Optuna have in common.

Knows nothing of Optuna but the name of the module that does, which is imported when one is made.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.random import Random
from orion_hpc.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial import Params

STRATEGIES = ("max", "mean", "min", "none")


class Modelled:
    """Draws the first points at random, then asks a sampler of Optuna.

    Parameters
    ----------
    name : str
        What the user calls it.
    space : Space
    n_initial_points : int
        Completed trials before the sampler is asked.
    strategy : None, "max", "mean", "min" or "none"
        See :class:`orion_hpc.algorithms.optuna_study.Study`.
    together : bool
        Likewise.
    """

    cheap = False
    learns = True
    repeats = True
    extra = "search"
    """With which its libraries are installed."""
    requires_dist = "bounded"
    requires_shape = "flattened"

    def __init__(
        self,
        name: str,
        space: Space,
        n_initial_points: int,
        strategy: str | None,
        together: bool = True,
    ) -> None:
        self.optuna = needed(name, "orion_hpc.algorithms.optuna_study", self.extra)
        self.optuna.quiet()
        self.n_initial_points = n_initial_points
        self._random = Random(space)
        self._study = self.optuna.Study(space, strategy)
        self._together = together
        self._make: Callable[[int], Any] = self._sampler

    def _sampler(self, seed: int) -> Any:
        raise NotImplementedError

    def suggest(self, history: History, number: int, rng: random.Random) -> Params | None:
        """Return the sampler's point; at random before there are enough results."""
        if len(history.completions) + len(history.learned) < self.n_initial_points:
            return self._random.suggest(history, number, rng)
        params: Params = self._study.suggest(
            history, number, rng.getrandbits(32), self._make, self._together
        )
        return params


def needed(name: str, module: str, extra: str) -> Any:
    """Return a module that imports a library which needn't be installed.

    Raises
    ------
    ConfigurationError
        It can't be imported; says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"algorithm {name} needs a library that can't be imported: {error}",
            f"pip install 'orion-hpc[{extra}]'",
        ) from None


def check_count(title: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Raise ConfigurationError unless ``value`` is a whole number from ``least`` to ``most``.

    ``most`` is for what is made at once, in memory: a slip of the keyboard mustn't fill it.
    """
    if most is not None and type(value) is int and value > most:
        raise ConfigurationError(
            f"{title} is {value!r:.60}, more than {most:,}", f"Write {title}: {max(least, 10)}."
        )
    if type(value) is not int or value < least:
        raise ConfigurationError(
            f"{title} is {value!r:.60}, not a whole number of at least {least}",
            f"Write {title}: {max(least, 10)}.",
        )


def check_flag(title: str, value: Any) -> None:
    """Raise ConfigurationError unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise ConfigurationError(
            f"{title} is {value!r:.60}, not true or false", f"Write {title}: true."
        )


def check_share(title: str, value: Any, example: float) -> None:
    """Raise ConfigurationError unless ``value`` is a number between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ConfigurationError(
            f"{title} is {value!r:.60}, not a number between 0 and 1", f"Write {title}: {example}."
        )


def check_strategy(value: Any) -> None:
    """Raise ConfigurationError unless it is a strategy for pending trials, or None."""
    if value is not None and value not in STRATEGIES:
        raise ConfigurationError(
            f"strategy is {value!r:.60}{did_you_mean(str(value), STRATEGIES)}",
            f"There are: {', '.join(STRATEGIES)}; or leave it out.",
        )
