"""NSGA-II, an evolutionary algorithm for several objectives. The sampler is Optuna's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.options import check_count, check_probability
from orion_hpc.algorithms.optuna_sampler import OptunaSampler

if TYPE_CHECKING:
    from orion_hpc.model.space import Space


class Nsga2(OptunaSampler):
    """Crosses and mutates the trials that no other one dominates.

    A generation is ``population_size`` trials in the order of their completion. Supports
    constraints: a trial that satisfies them dominates one that doesn't.

    Parameters
    ----------
    space : Space
    seed : int, optional
        The seed of the random generator that ``suggest`` gets; by default a random one is recorded.
    population_size : int, default 50
        Trials of a generation; the first generation is random.
    crossover_prob : float, default 0.9
        Probability that a new point has two parents.
    mutation_prob : float, optional
        Probability that each value is drawn anew; by default 1 / number of dimensions.

    References
    ----------
    K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions
    on Evolutionary Computation 6 (2002) 182-197.
    """

    first_option = "population_size"
    learns_failures = False
    """A failed trial has no descendants, since generations consist of completed trials."""

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        population_size: int = 50,
        crossover_prob: float = 0.9,
        mutation_prob: float | None = None,
    ) -> None:
        self.check(
            population_size=population_size,
            crossover_prob=crossover_prob,
            mutation_prob=mutation_prob,
        )
        super().__init__("nsga2", space, population_size, "none")
        self._options: dict[str, Any] = {
            "population_size": population_size,
            "crossover_prob": crossover_prob,
            "mutation_prob": mutation_prob,
        }

    @staticmethod
    def check(
        *, population_size: Any, crossover_prob: Any, mutation_prob: Any, seed: Any = None
    ) -> None:
        """Raise ConfigurationError unless the values of the options are valid."""
        check_count("population_size", population_size, "50", 2)
        check_probability("crossover_prob", crossover_prob, 0.9)
        if mutation_prob is not None:
            check_probability("mutation_prob", mutation_prob, 0.1)

    def _sampler(self, seed: int) -> Any:
        return self.optuna.Nsga2Sampler(seed=seed, **self._options)
