"""The search space as the Python API shows it: a space that draws trials, as Oríon's does.

Dimensions and points are left to :mod:`orion_hpc.model.space`.
"""

from __future__ import annotations

import random
import time
from typing import Any

from orion_hpc.client.arguments import check_count
from orion_hpc.client.trial import Trial
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import TrialRecord
from orion_hpc.worker.trial_view import Home


class SearchSpace(Space):
    """The dimensions of an experiment, and trials at random points.

    Parameters
    ----------
    space : Space
    home : Home
        The experiment.
    """

    __slots__ = ("_home",)

    def __init__(self, space: Space, home: Home) -> None:
        super().__init__(space.values())
        self._home = home

    def sample(self, n_samples: int | random.Random | None = None, seed: int | None = None) -> Any:
        """Return random points drawn from the priors.

        Parameters
        ----------
        n_samples : int, optional
            How many.
        seed : int, optional
            The same seed gives the same points. By default they aren't reproducible.

        Returns
        -------
        list of Trial, or dict
            Trials that aren't registered, with the number -1; without arguments a single point, by
            flat name.
        """
        if seed is None and (n_samples is None or isinstance(n_samples, random.Random)):
            return super().sample(n_samples)
        count = 1 if n_samples is None else n_samples
        check_count("n_samples", count, least=0)
        assert isinstance(count, int)  # as was checked
        rng, now = random.Random(seed), time.time()
        points = [super(SearchSpace, self).sample(rng) for _ in range(count)]
        return [Trial(TrialRecord(-1, point, now), self._home, "") for point in points]
