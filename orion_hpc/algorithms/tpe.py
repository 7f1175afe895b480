"""Tree-structured Parzen estimator, for most searches of some dozens of trials or more.

The sampler is Optuna's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.options import check_count, check_flag, check_share, check_strategy
from orion_hpc.algorithms.optuna_sampler import OptunaSampler

if TYPE_CHECKING:
    from orion_hpc.model.space import Space


class Tpe(OptunaSampler):
    """Models the densities of good and of other trials, and suggests points with a high ratio.

    Supports several objectives and constraints.

    Parameters
    ----------
    space : Space
    seed : int, optional
        The seed of the random generator that ``suggest`` gets; by default a random one is recorded.
    n_initial_points : int, default 10
        Random trials that are completed first.
    n_ei_candidates : int, default 24
        Points that are drawn for each suggestion; the best is suggested.
    gamma : float, optional
        Share of the trials that count as good; by default a tenth, and for a single objective at
        most 25 trials.
    multivariate : bool, default True
        Whether dimensions are modelled jointly rather than independently.
    strategy : {"max", "mean", "min", "none"}, optional
        How pending trials are treated: by default and with ``max`` as bad ones, so that workers
        explore different regions; with ``mean`` or ``min`` as having that objective; with ``none``
        not at all.

    References
    ----------
    J. Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011.
    S. Watanabe, "Tree-structured Parzen estimator", arXiv:2304.11127.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        n_initial_points: int = 10,
        n_ei_candidates: int = 24,
        gamma: float | None = None,
        multivariate: bool = True,
        strategy: str | None = None,
    ) -> None:
        self.check(
            n_initial_points=n_initial_points,
            n_ei_candidates=n_ei_candidates,
            gamma=gamma,
            multivariate=multivariate,
            strategy=strategy,
        )
        # Optuna counts pending trials as bad by default, which is the same as the worst objective.
        liar = None if strategy == "max" else strategy
        super().__init__("tpe", space, n_initial_points, liar, together=multivariate)
        self._options: dict[str, Any] = {
            "n_startup_trials": 0,
            "n_ei_candidates": n_ei_candidates,
            "multivariate": multivariate,
            "constant_liar": True,
        }
        if gamma is not None:
            self._options["gamma"] = lambda count: math.ceil(gamma * count)

    @staticmethod
    def check(
        *,
        n_initial_points: Any,
        n_ei_candidates: Any,
        gamma: Any,
        multivariate: Any,
        strategy: Any,
        seed: Any = None,
    ) -> None:
        """Raise ConfigurationError unless the values of the options are valid."""
        check_count("n_initial_points", n_initial_points, "10")
        check_count("n_ei_candidates", n_ei_candidates, "24", most=1_000_000)
        if gamma is not None:
            check_share("gamma", gamma, 0.1)
        check_flag("multivariate", multivariate)
        check_strategy(strategy)

    def _sampler(self, seed: int) -> Any:
        return self.optuna.optuna.samplers.TPESampler(seed=seed, **self._options)
