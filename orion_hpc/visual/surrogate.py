"""The only importer of scikit-learn: a regression model of the objective over the space.

Points are rows of numbers, one for each dimension or element of one: a choice is the index of its
category, a logarithmic dimension its logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.visual.chart import Axis

MODELS = ("AdaBoostRegressor", "BaggingRegressor", "ExtraTreesRegressor",
          "GradientBoostingRegressor", "RandomForestRegressor")  # fmt: skip
"""Names of ensembles of scikit-learn."""


def encode(axis: Axis, value: Any) -> float:
    """Return a value of an axis as a number of the model."""
    if axis.scale == "category":
        return float(axis.categories.index(value))
    return math.log(value) if axis.scale == "log" else float(value)


def decode(axis: Axis, number: float) -> Any:
    """Return the value of an axis that :func:`encode` returned ``number`` for."""
    if axis.scale == "category":
        return axis.categories[round(number)]
    return math.exp(number) if axis.scale == "log" else number


def grid(axis: Axis, low: float, high: float, n: int) -> list[float]:
    """Return ``n`` numbers of the model at equal distances; of an axis of categories, all of them.

    ``low`` and ``high`` are numbers of the model, too.
    """
    if axis.scale == "category":
        return [float(index) for index in range(len(axis.categories))]
    if n < 2 or high <= low:
        return [low]
    return [low + (high - low) * index / (n - 1) for index in range(n)]


class Surrogate:
    """A model that was fitted to trials.

    Parameters
    ----------
    rows : sequence of sequence of float
        The points.
    objectives : sequence of float
    model : str, default "RandomForestRegressor"
        One of :data:`MODELS`.
    options : mapping, optional
        Arguments of its class, such as ``random_state``.

    Raises
    ------
    ConfigurationError
        There is no such model, it doesn't take the options, or scikit-learn isn't installed.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[float]],
        objectives: Sequence[float],
        model: str = "RandomForestRegressor",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if model not in MODELS:
            raise ConfigurationError(
                f"there is no model {model!r:.100}{did_you_mean(model, MODELS)}",
                f"There are: {', '.join(MODELS)}.",
            )
        try:
            from sklearn import ensemble
        except ImportError as error:
            raise ConfigurationError(
                "this chart fits a model with scikit-learn, which isn't installed",
                "Install it with: pip install scikit-learn",
            ) from error
        try:
            self._model = getattr(ensemble, model)(**dict(options or {}))
            self._model.fit([list(row) for row in rows], list(objectives))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{model} can't be fitted: {error}", "Its options are those of scikit-learn."
            ) from error

    def predict(self, rows: Sequence[Sequence[float]]) -> list[float]:
        """Return the model's objective at each point."""
        found: list[float] = self._model.predict([list(row) for row in rows]).tolist()
        return found
