"""Bayesian optimisation with a Gaussian process, for few and expensive trials.

The sampler is Optuna's, which uses PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.libraries import missing_library
from orion_hpc.algorithms.options import check_count, check_flag, check_strategy
from orion_hpc.algorithms.optuna_sampler import OptunaSampler

if TYPE_CHECKING:
    from orion_hpc.model.space import Space


class Gp(OptunaSampler):
    """Fits a Gaussian process to the results and suggests the point that maximises the acquisition.

    Supports several objectives and constraints. The time of a suggestion grows with the cube of the
    number of trials: some seconds at a thousand.

    Parameters
    ----------
    space : Space
    seed : int, optional
        The seed of the random generator that ``suggest`` gets; by default a random one is recorded.
    n_initial_points : int, default 10
        Random trials that are completed first.
    deterministic : bool, default False
        Whether a point always has the same result; if not, noise is estimated.
    strategy : {"max", "mean", "min", "none"}, optional
        How pending trials are treated: by default with the model's own predictions; otherwise as
        trials with the worst, the mean or the best objective so far, or not at all.

    References
    ----------
    J. Snoek et al., "Practical Bayesian optimization of machine learning algorithms", NeurIPS 2012.
    """

    extra = "gp"
    most_integers = 1 << 20
    """Optuna's sampler tries every value of an integer, and has all of them in memory."""

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        n_initial_points: int = 10,
        deterministic: bool = False,
        strategy: str | None = None,
    ) -> None:
        self.check(
            n_initial_points=n_initial_points, deterministic=deterministic, strategy=strategy
        )
        super().__init__("gp", space, n_initial_points, strategy)
        try:
            import scipy  # noqa: F401
            import torch  # noqa: F401
        except ImportError as error:  # Optuna imports them only for a suggestion
            raise missing_library("gp", error, self.extra) from None
        self._deterministic = deterministic

    @staticmethod
    def check(
        *, n_initial_points: Any, deterministic: Any, strategy: Any, seed: Any = None
    ) -> None:
        """Raise ConfigurationError unless the values of the options are valid."""
        check_count("n_initial_points", n_initial_points, "10")
        check_flag("deterministic", deterministic)
        check_strategy(strategy)

    def _sampler(self, seed: int) -> Any:
        return self.optuna.optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=1, deterministic_objective=self._deterministic
        )
