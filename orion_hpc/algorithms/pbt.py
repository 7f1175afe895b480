"""Population based training: hyperparameters change while models continue to train.

Each trial of a population has a successor at a higher fidelity. The successor of a good trial
continues it unchanged; that of a bad one continues a good one, with perturbed hyperparameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms import fidelity_levels
from orion_hpc.algorithms.base import WAIT, Branch
from orion_hpc.algorithms.options import check_count, check_probability, check_share
from orion_hpc.algorithms.random import Random
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.dimension import Dimension, Fidelity, Integer, Real
from orion_hpc.model.trial_record import BROKEN

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History, Suggestion
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial_record import Params

_TRIES = 20
_FEWEST = 5
"""The least number of completed trials among which one may be replaced (as in Oríon)."""


class Pbt:
    """Runs a population through generations, each at a higher fidelity than the one before.

    A trial of a later generation starts with a copy of the working directory of the trial that it
    continues, ``trial.parent``: the function loads the checkpoint there and trains up to its own
    fidelity. A broken trial has no successor; in the first generation another trial replaces it.

    Parameters
    ----------
    space : Space
        With a fidelity.
    seed : int, optional
        The seed of the random generator that ``suggest`` gets; by default a random one is recorded.
    population_size : int, default 20
    generations : int, default 10
        Number of levels, spaced evenly; at most as many as the fidelity has values.
    truncation : float, default 0.2
        Share of the worst trials that are replaced, and of the best that replace them.
    perturbation : float, default 1.2
        Factor by which a number is multiplied or divided when it is perturbed.
    resample_probability : float, default 0.25
        Probability that a value is drawn from its prior instead; a choice changes in no other way.

    References
    ----------
    M. Jaderberg et al., "Population based training of neural networks", arXiv:1711.09846.
    """

    cheap = True
    learns = True
    needs_fidelity = True

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        population_size: int = 20,
        generations: int = 10,
        truncation: float = 0.2,
        perturbation: float = 1.2,
        resample_probability: float = 0.25,
    ) -> None:
        self.check(
            population_size=population_size,
            generations=generations,
            truncation=truncation,
            perturbation=perturbation,
            resample_probability=resample_probability,
        )
        self._space = space
        self._random = Random(space)
        self._fidelity = fidelity_levels.fidelity_of(space)
        low, high = self._fidelity.interval()
        steps = (low + (high - low) * step / max(1, generations - 1) for step in range(generations))
        self._levels = (
            sorted({min(round(step), high) for step in steps}) if generations > 1 else [high]
        )
        self._size = population_size
        self._truncation = truncation
        self._factor = perturbation
        self._resample = resample_probability
        self._undone: int | None = None

    @staticmethod
    def check(
        *,
        population_size: Any,
        generations: Any,
        truncation: Any,
        perturbation: Any,
        resample_probability: Any,
        seed: Any = None,
    ) -> None:
        """Raise ConfigurationError unless the values of the options are valid."""
        check_count("population_size", population_size, "20", 2)
        check_count("generations", generations, "10", most=10_000)
        check_share("truncation", truncation, 0.2)
        if truncation > 0.5:
            raise ConfigurationError(
                f"truncation is {truncation}, so a trial could be good and bad at once",
                "Write truncation: 0.2; it is 0.5 at most.",
            )
        if isinstance(perturbation, bool) or not (
            isinstance(perturbation, int | float) and 1 < perturbation <= 10
        ):
            raise ConfigurationError(
                f"perturbation is {perturbation!r:.60}, not a number above 1 and up to 10",
                "Write perturbation: 1.2.",
            )
        check_probability("resample_probability", resample_probability, 0.25)

    def advice(self, max_trials: int) -> list[str]:
        """Return advice for a search with ``max_trials`` trials."""
        count = self._size * len(self._levels)
        if max_trials >= count:
            return []
        return [
            f"pbt takes {count} trials, {self._size} in each of {len(self._levels)} generations; "
            f"max_trials: {max_trials} ends it in generation {-(-max_trials // self._size)}"
        ]

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return a trial of the first generation, or a successor in the lowest one possible.

        So generations are compared as a whole even with few workers. From the highest down, a
        single worker would train each trial to the end before it started the next.
        """
        self._update(history)
        first = self._registered[0]
        broken = sum(history.trials[one].status == BROKEN for one in first)
        if len(first) - broken < self._size:
            point = self._random_point(history, self._levels[0], number, rng)
            if point is not None:
                return point
        for place in range(len(self._levels) - 1):
            # The n-th successor to be registered follows the n-th trial to be completed, so no
            # trial has two successors, whichever worker is faster.
            following = len(self._registered[place + 1])
            if following < len(self._completed[place]):
                successor = self._successor(history, place, following, number, rng)
                if successor is not None:
                    return successor
        return WAIT if history.pending() else None

    def _successor(
        self, history: History, place: int, following: int, number: int, rng: random.Random
    ) -> Branch | None:
        level = self._levels[place + 1]
        trial = history.trials[self._completed[place][following]]
        ranked = sorted(
            (history.trials[one].objective or 0.0, one) for one in self._completed[place]
        )
        count = len(ranked)
        share = max(1, int(count * self._truncation))
        if count >= min(_FEWEST, self._size) and trial.number in {
            one for _, one in ranked[count - share :]
        }:
            _, chosen = ranked[min(int(rng.random() * share), share - 1)]
            trial = history.trials[chosen]
            params = self._perturbed(trial.params, rng)
        else:
            params = trial.params
        for _ in range(_TRIES):
            found = fidelity_levels.at_level(params, self._fidelity.name, level)
            if not history.has(found):
                return Branch(found, trial.number)
            params = self._perturbed(params, rng)
        point = self._random_point(history, level, number, rng)
        return None if point is None else Branch(point, trial.number)

    def _random_point(
        self, history: History, level: int, number: int, rng: random.Random
    ) -> Params | None:
        view = fidelity_levels.levelled(history, self._fidelity, level)
        point = self._random.suggest(view, number, rng)
        return (
            None if point is None else fidelity_levels.at_level(point, self._fidelity.name, level)
        )

    def _perturbed(self, params: Params, rng: random.Random) -> Params:
        return {
            name: params[name]
            if isinstance(dimension, Fidelity)
            else self._perturb(dimension, params[name], rng)
            for name, dimension in self._space.items()
        }

    def _perturb(self, dimension: Dimension, value: Any, rng: random.Random) -> Any:
        if rng.random() < self._resample:
            return dimension.sample(rng)
        factor = self._factor if rng.random() < 0.5 else 1 / self._factor

        def element(number: Any) -> Any:
            if isinstance(number, list | tuple):
                return [element(one) for one in number]
            if isinstance(dimension, Real):
                return dimension.rounded(number * factor)
            if isinstance(dimension, Integer):
                low, high = dimension.interval()
                perturbed = round(number * factor)
                if perturbed == number:
                    perturbed += 1 if factor > 1 else -1
                return int(min(max(perturbed, low), high))
            return number

        return element(value)

    def _update(self, history: History) -> None:
        if history.undone != self._undone:
            self._undone = history.undone
            self._seen = self._done = 0
            self._registered: list[list[int]] = [[] for _ in self._levels]
            self._completed: list[list[int]] = [[] for _ in self._levels]
        for trial in history.trials[self._seen :]:
            place = self._place(trial.params)
            if place is not None and (trial.parent is None) == (place == 0):
                self._registered[place].append(trial.number)
        self._seen = len(history.trials)
        for number in history.completions[self._done :]:
            trial = history.trials[number]
            place = self._place(trial.params)
            if place is not None and (trial.parent is None) == (place == 0):
                self._completed[place].append(number)
        self._done = len(history.completions)

    def _place(self, params: Params) -> int | None:
        level = params.get(self._fidelity.name)
        return self._levels.index(level) if level in self._levels else None
