"""Transformation of dimensions that an algorithm doesn't support, and of its points back. Pure.

An algorithm declares the kinds of dimension that it supports by Oríon's attributes:

``requires_type``
    ``"real"``: integers become reals, and a choice among k values becomes k reals, the greatest of
    which selects the value. ``"numerical"``: choices become indices from 0.
``requires_dist``
    ``"bounded"``: uniform and loguniform priors stay, and values of all others become quantiles of
    their prior, from 0 to 1. ``"linear"``: the same, and loguniform values become logarithms.
``requires_shape``
    ``"flattened"``: a dimension with a shape becomes one for each element, ``x[0,1]``.

A fidelity is left out, and is at its highest in a point that is transformed back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from orion_hpc.model.dimension import Categorical, Dimension, Fidelity, Integer, Real, same_choice
from orion_hpc.model.distribution import Discretised, Distribution, LogUniform, Uniform, Whole
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import Params


@dataclass(frozen=True, slots=True)
class _Element:
    """A dimension without a shape, or one element of a dimension, in the algorithm's space."""

    parts: tuple[Dimension, ...]
    forward: Callable[[Any], Sequence[Any]]
    backward: Callable[[Sequence[Any]], Any]


class Transform:
    """Transforms points of the user's space to the algorithm's, and back.

    Parameters
    ----------
    space : Space
        The user's.
    type : None, "numerical" or "real"
    dist : None, "bounded" or "linear"
    shape : None or "flattened"
    """

    def __init__(
        self,
        space: Space,
        type: str | None = None,
        dist: str | None = None,
        shape: str | None = None,
    ) -> None:
        self._columns: list[tuple[Dimension, list[tuple[tuple[int, ...], _Element]]]] = []
        self._fixed: Params = {}
        parts: list[Dimension] = []
        for name, dimension in space.items():
            if isinstance(dimension, Fidelity):
                self._fixed[name] = dimension.high
                continue
            elements = []
            places: Sequence[tuple[int, ...]] = [()]
            if dimension.shape and shape == "flattened":
                places = list(product(*map(range, dimension.shape)))
            for place in places:
                title = f"{name}[{','.join(map(str, place))}]" if place else name
                bare = replace(dimension, name=title, default=None)
                element = _element(replace(bare, shape=()) if place else bare, type, dist)
                elements.append((place, element))
                parts.extend(element.parts)
            self._columns.append((dimension, elements))
        self._order = list(space)
        self.space = Space(parts or [_placeholder()])

    def forward(self, params: Params) -> Params:
        """Return a point of the user's space as a point of the algorithm's.

        Raises
        ------
        KeyError, ValueError
            ``params`` isn't a point of the space, as may be so for an inserted trial of an older
            version.
        """
        values: Params = {}
        for dimension, elements in self._columns:
            for place, element in elements:
                value = params[dimension.name]
                for index in place:
                    value = value[index]
                for part, number in zip(element.parts, element.forward(value), strict=True):
                    values[part.name] = number
        return {name: values[name] for name in self.space if name in values}

    def backward(self, point: Params) -> Params:
        """Return a point of the algorithm's space as a point of the user's."""
        params: Params = dict(self._fixed)
        for dimension, elements in self._columns:
            values = [
                element.backward([point[part.name] for part in element.parts])
                for _, element in elements
            ]
            flat = iter(values)
            nested = dimension.shape and elements[0][0]
            params[dimension.name] = _nest(dimension.shape, flat) if nested else values[0]
        return {name: params[name] for name in self._order}


def _placeholder() -> Dimension:
    """Return the dimension that replaces an empty space, if the fidelity is the only dimension."""
    return Real(name="nothing", distribution=Uniform(0, 1), precision=None)


def _nest(shape: tuple[int, ...], flat: Any) -> Any:
    return [_nest(shape[1:], flat) for _ in range(shape[0])] if shape else next(flat)


def _element(dimension: Dimension, type: str | None, dist: str | None) -> _Element:
    if dimension.shape:  # the algorithm takes shapes
        return _Element((dimension,), lambda value: [value], lambda values: values[0])
    if isinstance(dimension, Categorical) and type is not None:
        return _one_hot(dimension) if type == "real" else _indices(dimension)
    if isinstance(dimension, Real):
        return _real(dimension, dist)
    if isinstance(dimension, Integer):
        return _integer(dimension, type, dist)
    return _Element((dimension,), lambda value: [value], lambda values: values[0])


def _plain_real(name: str, low: float, high: float) -> Real:
    return Real(name=name, distribution=Uniform(low, high), precision=None)


def _real(dimension: Real, dist: str | None) -> _Element:
    prior = dimension.distribution
    if dist is None or isinstance(prior, Uniform) or (_is_log(prior) and dist == "bounded"):
        return _Element(
            (dimension,), lambda value: [float(value)], lambda v: dimension.rounded(v[0])
        )
    low, high = dimension.interval()
    if _is_log(prior):
        # exp(log(x)) may differ slightly from x, so the result is rounded into the bounds.
        return _Element(
            (_plain_real(dimension.name, math.log(low), math.log(high)),),
            lambda value: [math.log(value)],
            lambda values: dimension.rounded(math.exp(values[0])),
        )
    return _Element(
        (_plain_real(dimension.name, 0.0, 1.0),),
        lambda value: [prior.share(value)],
        lambda values: dimension.rounded(prior.at(_inside(values[0]))),
    )


def _integer(dimension: Integer, type: str | None, dist: str | None) -> _Element:
    prior = dimension.distribution
    log = isinstance(prior, Discretised) and _is_log(prior.real)
    plain = isinstance(prior, Whole) or log
    if dist is None or not plain:
        share = not plain and (dist is not None or type == "real")
        if not share and type != "real":
            return _Element((dimension,), lambda value: [int(value)], lambda v: int(v[0]))
        if share:
            return _Element(
                (_plain_real(dimension.name, 0.0, 1.0),),
                lambda value: [prior.share(value)],
                lambda values: int(prior.at(_inside(values[0]))),
            )
    low, high = dimension.interval()

    def clipped(value: float) -> int:
        return int(min(max(round(value), low), high))

    if log and dist == "linear":
        return _Element(
            (_plain_real(dimension.name, math.log(low - 0.5), math.log(high + 0.5)),),
            lambda value: [math.log(value)],
            lambda values: clipped(math.exp(values[0])),
        )
    if type == "real":
        reals: Distribution = Uniform(low - 0.5, high + 0.5)
        if log:
            reals = LogUniform(low - 0.5, high + 0.5)
        return _Element(
            (Real(name=dimension.name, distribution=reals, precision=None),),
            lambda value: [float(value)],
            lambda values: clipped(values[0]),
        )
    return _Element((dimension,), lambda value: [int(value)], lambda v: clipped(v[0]))


def _one_hot(dimension: Categorical) -> _Element:
    choices = dimension.choices

    def forward(value: Any) -> list[float]:
        chosen = [float(same_choice(choice, value)) for choice in choices]
        if not any(chosen):
            raise ValueError(f"{dimension.name} can't be {value!r:.80}")
        return chosen

    def backward(values: Sequence[Any]) -> Any:
        return choices[max(range(len(choices)), key=values.__getitem__)]

    names = [f"{dimension.name}[={place}]" for place in range(len(choices))]
    return _Element(tuple(_plain_real(name, 0.0, 1.0) for name in names), forward, backward)


def _indices(dimension: Categorical) -> _Element:
    choices = dimension.choices

    def forward(value: Any) -> list[int]:
        for place, choice in enumerate(choices):
            if same_choice(choice, value):
                return [place]
        raise ValueError(f"{dimension.name} can't be {value!r:.80}")

    index = Integer(name=dimension.name, distribution=Whole("randint", 0, len(choices) - 1))
    return _Element((index,), forward, lambda values: choices[int(values[0])])


def _is_log(prior: Distribution) -> bool:
    return isinstance(prior, LogUniform)


def _inside(share: float) -> float:
    """Return a quantile at which every prior has a finite value."""
    return min(max(float(share), 1e-12), 1 - 1e-12)
