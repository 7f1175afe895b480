"""Base class of the algorithms that use a sampler of Optuna.

Optuna itself is imported by ``optuna_study``, when such an algorithm is created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.libraries import missing_library
from orion_hpc.algorithms.options import all_random

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial_record import Params


class OptunaSampler:
    """Draws the first points at random, then from a sampler of Optuna.

    Parameters
    ----------
    name : str
        The algorithm's name in the configuration.
    space : Space
    n_initial_points : int
        Completed trials before the sampler is used.
    strategy : None, "max", "mean", "min" or "none"
        As of :class:`orion_hpc.algorithms.optuna_study.Study`.
    together : bool
        As of :meth:`orion_hpc.algorithms.optuna_study.Study.suggest`.
    """

    cheap = False
    learns = True
    repeats = True
    first_option = "n_initial_points"
    extra = "search"
    """The extra of this package that installs its libraries."""
    learns_failures = True
    most_integers = 1 << 53
    """The most values of an integer for the sampler. With more, numpy's numbers aren't exact."""
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
        try:
            from orion_hpc.algorithms import optuna_study
        except ImportError as error:
            raise missing_library(name, error, self.extra) from None
        self.optuna = optuna_study
        self.optuna.quiet()
        self._name = name
        self._n_initial_points = n_initial_points
        self._space = space
        self._study = self.optuna.Study(space, strategy, self.most_integers, self.learns_failures)
        self._together = together

    def _sampler(self, seed: int) -> Any:
        raise NotImplementedError

    def advice(self, max_trials: int) -> list[str]:
        """Return advice for a search with ``max_trials`` trials."""
        return all_random(self._name, self.first_option, self._n_initial_points, max_trials)

    def suggest(self, history: History, number: int, rng: random.Random) -> Params:
        """Return the sampler's point, or a random one before there are enough results."""
        if len(history.completions) + len(history.learned) < self._n_initial_points:
            return self._space.sample(rng)
        params: Params = self._study.suggest(
            history, number, rng.getrandbits(32), self._sampler, self._together
        )
        return params
