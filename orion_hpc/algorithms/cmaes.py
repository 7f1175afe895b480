"""CMA-ES: for real-valued spaces of some dozens of dimensions and some hundreds of trials.

The strategy is the library cmaes, as in Optuna's sampler. That sampler stores its state beside the
trials. Here the state follows from the history: whenever a generation of trials is complete, it is
passed to the strategy in the order of completion.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.libraries import missing_library
from orion_hpc.algorithms.options import all_random, check_count, check_share
from orion_hpc.errors import ConfigurationError

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial_record import Params, TrialRecord

_TRIES = 100
_EDGE = 1e-9
_LEAST_SIGMA = 1e-6


class CmaEs:
    """Draws points from a normal distribution whose mean and covariance follow the better ones.

    Integers and choices are rounded from reals; if most dimensions are such, use ``tpe``.

    Parameters
    ----------
    space : Space
    seed : int, optional
        The seed of the random generator that ``suggest`` gets; by default a random one is recorded.
    n_initial_points : int, default 1
        Random trials that are completed first. With several, the best is the first mean; with a
        single one, the first mean is the middle of each range.
    sigma0 : float, default 1/6
        First standard deviation along each dimension, as a share of its range.
    population_size : int, optional
        Trials of a generation; by default 4 + floor(3 ln d) in d dimensions.

    References
    ----------
    N. Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772.
    """

    cheap = False
    learns = True
    repeats = True
    requires_type = "real"
    requires_dist = "linear"
    requires_shape = "flattened"

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        n_initial_points: int = 1,
        sigma0: float = 1 / 6,
        population_size: int | None = None,
    ) -> None:
        self.check(
            n_initial_points=n_initial_points, sigma0=sigma0, population_size=population_size
        )
        try:
            import cmaes
            import numpy
        except ImportError as error:
            raise missing_library("cmaes", error, "search") from None
        self._cma, self._numpy = cmaes.CMA, numpy
        intervals = {name: dimension.interval() for name, dimension in space.items()}
        self._fixed = {name: low for name, (low, high) in intervals.items() if not high > low}
        self._ranges = {
            name: (low, high - low) for name, (low, high) in intervals.items() if high > low
        }
        self._names = list(space)
        self._space = space
        self._n_initial_points = n_initial_points
        self._sigma = sigma0
        self._first_size = population_size or 4 + int(3 * math.log(max(1, len(self._ranges))))
        self._undone: int | None = None
        self._failed: list[int] = []
        self._reset()

    @staticmethod
    def check(
        *, n_initial_points: Any, sigma0: Any, population_size: Any, seed: Any = None
    ) -> None:
        """Raise ConfigurationError unless the values of the options are valid."""
        check_count("n_initial_points", n_initial_points, "1")
        check_share("sigma0", sigma0, 0.2)
        if sigma0 < _LEAST_SIGMA:
            raise ConfigurationError(
                f"sigma0 is {sigma0}, so narrow that the search would stay where it starts",
                f"Write sigma0: 0.2; it is {_LEAST_SIGMA} at least.",
            )
        if population_size is not None:
            check_count("population_size", population_size, "10, or leave it out", 2, most=100_000)

    def advice(self, max_trials: int) -> list[str]:
        """Return advice for a search with ``max_trials`` trials."""
        return all_random("cmaes", "n_initial_points", self._n_initial_points, max_trials)

    def suggest(self, history: History, number: int, rng: random.Random) -> Params:
        """Return a draw from the current distribution, or from the priors before there is one."""
        self._update(history)
        if self._optimizer is None or not self._ranges:
            return self._space.sample(rng)
        self._optimizer.reseed_rng(rng.getrandbits(32))
        shares = self._optimizer.ask()
        params = dict(self._fixed)
        for (name, (low, width)), share in zip(self._ranges.items(), shares.tolist(), strict=True):
            params[name] = low + min(max(share, 0.0), 1.0) * width
        return {name: params[name] for name in self._names}

    def _reset(self) -> None:
        self._seen = 0
        self._size = self._first_size
        self._optimizer: Any = None
        self._first: list[tuple[Any, float]] = []
        self._generation: list[tuple[Any, float | None]] = []
        self._worst = -math.inf
        self._unused: list[TrialRecord] = []

    def _update(self, history: History) -> None:
        failed = sorted(history.failed(), key=lambda trial: trial.number)
        numbers = [trial.number for trial in failed]
        if history.undone != self._undone or numbers != self._failed:
            self._reset()
            self._undone, self._failed, self._unused = history.undone, numbers, failed
            for trial in reversed(history.learned):
                if trial.objective is not None:
                    self._take(trial.params, trial.objective)
        for number in history.completions[self._seen :]:
            # The history doesn't say when a trial failed. It takes its turn with the first trial to
            # be completed that was suggested later, which every worker finds in the same order.
            while self._unused and self._unused[0].number < number:
                self._take(self._unused.pop(0).params, None)
            trial = history.trials[number]
            if trial.objective is not None:
                self._take(trial.params, trial.objective)
        self._seen = len(history.completions)

    def _take(self, params: Params, objective: float | None) -> None:
        """Add a trial to the generation; without an objective one that failed."""
        if not self._ranges or params.keys() != set(self._names):
            return
        shares = self._numpy.array(
            [(params[name] - low) / width for name, (low, width) in self._ranges.items()]
        )
        if objective is not None:
            self._worst = max(self._worst, objective)
        if self._optimizer is not None:
            self._generation.append((shares, objective))
            if len(self._generation) == self._size:
                self._end_generation()
        elif objective is not None:
            self._first.append((shares, objective))
            if len(self._first) >= self._n_initial_points:
                best = min(self._first, key=lambda one: one[1])
                alone = len(self._first) == 1
                self._optimizer = self._new(self._centre() if alone else best[0])

    def _end_generation(self) -> None:
        """Pass the generation to the strategy, with failed trials as bad as the worst so far."""
        generation, self._generation = self._generation, []
        if all(objective is None for _, objective in generation):
            return  # there is no direction in it
        worst = self._worst
        self._optimizer.tell([(x, worst if y is None else y) for x, y in generation])
        if self._optimizer.should_stop():
            # It has converged: restart with a population twice as large.
            self._size *= 2
            self._optimizer = self._new(self._centre())

    def _centre(self) -> Any:
        return self._numpy.full(len(self._ranges), 0.5)

    def _new(self, mean: Any) -> Any:
        numpy, count = self._numpy, len(self._ranges)
        bounds = numpy.array([[-_EDGE, 1 + _EDGE]] * count)
        return self._cma(
            mean=numpy.clip(mean, 0.0, 1.0),
            sigma=self._sigma,
            bounds=bounds,
            seed=0,
            population_size=self._size,
            n_max_resampling=_TRIES,
        )
