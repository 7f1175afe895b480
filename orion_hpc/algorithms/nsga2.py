"""NSGA-II, an evolutionary algorithm for several objectives. The sampler is Optuna's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.options import check_count, check_probability
from orion_hpc.algorithms.optuna_sampler import OptunaSampler

if TYPE_CHECKING:
    from orion_hpc.model.space import Space


class Nsga2(OptunaSampler):
    """Crosses and mutates the trials that no other one surpasses in every objective.

    A generation is ``population_size`` trials in the order in which they were completed. Takes
    constraints: what keeps them surpasses what doesn't.

    Parameters
    ----------
    space : Space
    seed : int, optional
        Kept for the record; the generator that ``suggest`` is given comes of it.
    population_size : int, default 50
        Trials of a generation; so many are drawn at random first.
    crossover_prob : float, default 0.9
        How likely a new point has two parents.
    mutation_prob : float, optional
        How likely each of its values is drawn anew; by default 1 / the number of dimensions.

    References
    ----------
    K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions
    on Evolutionary Computation 6 (2002) 182-197.
    """

    first_option = "population_size"

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
        """Raise ConfigurationError unless the options have their forms."""
        check_count("population_size", population_size, "50", 2)
        check_probability("crossover_prob", crossover_prob, 0.9)
        if mutation_prob is not None:
            check_probability("mutation_prob", mutation_prob, 0.1)

    def _sampler(self, seed: int) -> Any:
        return self.optuna.Nsga2Sampler(seed=seed, **self._options)
