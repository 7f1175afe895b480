"""What the algorithms that are samplers of Optuna have in common.

Knows nothing of Optuna but the name of the module that does, which is imported when one is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.libraries import missing_library
from orion_hpc.algorithms.options import all_random

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial import Params


class OptunaSampler:
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
    first_option = "n_initial_points"
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
        try:
            from orion_hpc.algorithms import optuna_study
        except ImportError as error:
            raise missing_library(name, error, self.extra) from None
        self.optuna = optuna_study
        self.optuna.quiet()
        self._name = name
        self._n_initial_points = n_initial_points
        self._space = space
        self._study = self.optuna.Study(space, strategy)
        self._together = together

    def _sampler(self, seed: int) -> Any:
        raise NotImplementedError

    def advice(self, max_trials: int) -> list[str]:
        """Return what there is to say of a search with so many trials."""
        return all_random(self._name, self.first_option, self._n_initial_points, max_trials)

    def suggest(self, history: History, number: int, rng: random.Random) -> Params:
        """Return the sampler's point; at random before there are enough results."""
        if len(history.completions) + len(history.learned) < self._n_initial_points:
            return self._space.sample(rng)
        params: Params = self._study.suggest(
            history, number, rng.getrandbits(32), self._sampler, self._together
        )
        return params
