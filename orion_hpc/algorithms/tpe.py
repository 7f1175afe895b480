"""Tree-structured Parzen estimator: the algorithm for most searches of some dozens of trials on.

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
    """Models where good and where other trials lie, and takes points that are likelier good.

    Takes several objectives and constraints.

    Parameters
    ----------
    space : Space
    seed : int, optional
        Kept for the record; the generator that ``suggest`` is given comes of it.
    n_initial_points : int, default 10
        Random trials to be completed first.
    n_ei_candidates : int, default 24
        Points that are drawn for each suggestion, of which the best is taken.
    gamma : float, optional
        Share of the trials that count as good; by default a tenth, and 25 at most for one
        objective.
    multivariate : bool, default True
        Model dimensions together rather than each by itself.
    strategy : {"max", "mean", "min", "none"}, optional
        What pending trials count as: by default and with ``max`` as bad ones, so that workers keep
        apart; ``mean`` and ``min`` give them such an objective, ``none`` leaves them out.

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
        # A pending trial is among the bad ones to Optuna, which is what the worst objective means.
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
        """Raise ConfigurationError unless the options have their forms."""
        check_count("n_initial_points", n_initial_points, "10")
        check_count("n_ei_candidates", n_ei_candidates, "24", most=1_000_000)
        if gamma is not None:
            check_share("gamma", gamma, 0.1)
        check_flag("multivariate", multivariate)
        check_strategy(strategy)

    def _sampler(self, seed: int) -> Any:
        return self.optuna.optuna.samplers.TPESampler(seed=seed, **self._options)
