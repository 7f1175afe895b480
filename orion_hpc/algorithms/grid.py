"""Grid search: every combination of several values of each dimension, in a fixed order.

A point is computed from its index, so a grid of a billion points takes no memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orion_hpc.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial_record import Params

_MOST_VALUES = 100_000
_DEFAULT_VALUES = 100


class GridSearch:
    """Goes through the grid; the dimension that is last by name changes fastest.

    Reals are spaced evenly from bound to bound (loguniform: in logarithm; without bounds: by
    quantile), and so are integers, without repetition. All choices are taken. A fidelity is at its
    highest.

    Parameters
    ----------
    space : Space
        Without dimensions that have a shape.
    n_values : int or dict of str to int, default 100
        Values along each dimension; a mapping gives those of some, by flat name.
    """

    cheap = True
    learns = False

    def __init__(self, space: Space, *, n_values: int | dict[str, int] = _DEFAULT_VALUES) -> None:
        self.check(n_values=n_values)
        if isinstance(n_values, Mapping):
            for name in n_values:
                if name not in space:
                    raise ConfigurationError(
                        f"n_values names {name!r}, which isn't a dimension"
                        f"{did_you_mean(name, space)}",
                        f"There are: {', '.join(space)}.",
                    )
            counts = {name: n_values.get(name, _DEFAULT_VALUES) for name in space}
        else:
            counts = dict.fromkeys(space, n_values)
        self._axes = {name: dimension.grid(counts[name]) for name, dimension in space.items()}
        self._size = math.prod(map(len, self._axes.values()))
        self._first_free = 0

    @staticmethod
    def check(*, n_values: Any) -> None:
        """Raise ConfigurationError unless ``n_values`` is valid."""
        counts = n_values.items() if isinstance(n_values, Mapping) else [("", n_values)]
        for name, count in counts:
            title = f"n_values of {name}" if name else "n_values"
            if type(count) is not int or not 1 <= count <= _MOST_VALUES:
                raise ConfigurationError(
                    f"{title} is {count!r:.60}, not a whole number from 1 to {_MOST_VALUES:,}",
                    "Write n_values: 10, or n_values: {lr: 10, depth: 3}.",
                )

    def advice(self, max_trials: int) -> list[str]:
        """Return advice for a search with ``max_trials`` trials."""
        if max_trials >= self._size:
            return []
        return [
            f"the grid has {self._size:,} points, of which max_trials: {max_trials} are tried, "
            "from one corner on; a smaller n_values covers the space"
        ]

    def suggest(self, history: History, number: int, rng: random.Random) -> Params | None:
        """Return the first free point, after one for each earlier number without a trial.

        The history may lack trials that are suggested together with this one. They take the free
        points in the same order, so as many are skipped here.
        """
        # Only registered points are skipped for good, as a suggestion may be discarded.
        while self._first_free < self._size and history.has(self._point(self._first_free)):
            self._first_free += 1
        left_to_others = max(0, number - len(history.trials))
        for index in range(self._first_free, self._size):
            point = self._point(index)
            if history.has(point):
                continue
            if not left_to_others:
                return point
            left_to_others -= 1
        return None

    def _point(self, index: int) -> Params:
        values = []
        for axis in reversed(self._axes.values()):
            index, place = divmod(index, len(axis))
            values.append(axis[place])
        return dict(zip(self._axes, reversed(values), strict=True))
