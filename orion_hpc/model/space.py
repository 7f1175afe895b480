"""The search space: dimensions by name, in the order of their names.

Converts between flat names (``model.lr``) and nested mappings. A single dimension is defined in
:mod:`orion_hpc.model.dimension`, the language of priors in :mod:`orion_hpc.model.prior`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orion_hpc.errors import ConfigurationError, InvalidParams, InvalidPrior, did_you_mean
from orion_hpc.model import prior
from orion_hpc.model.dimension import Dimension
from orion_hpc.model.trial_record import Params
from orion_hpc.text import html_table

if TYPE_CHECKING:
    import random

_EXAMPLE = "Write a prior in quotes, such as 'loguniform(1e-5, 1)'."
_MAX_LEVELS = 20
_MAX_DIMENSIONS = 10_000


class SpaceFault(NamedTuple):
    """What is wrong with a space: with what stands at ``key`` of its top level, or between keys."""

    key: Any
    error: ConfigurationError


class Space(Mapping[str, Dimension]):
    """The dimensions of an experiment.

    Parameters
    ----------
    dimensions : iterable of Dimension
        In any order.

    Raises
    ------
    ConfigurationError
        There are none, two names clash, or two of them are fidelities.
    """

    __slots__ = ("_dimensions",)

    def __init__(self, dimensions: Iterable[Dimension]) -> None:
        ordered = sorted(dimensions, key=lambda dimension: dimension.name)
        if not ordered:
            raise ConfigurationError(
                "the search space is empty",
                "Add at least one dimension, such as lr: 'loguniform(1e-5, 1)'.",
            )
        _check_names([dimension.name for dimension in ordered])
        fidelities = [dimension.name for dimension in ordered if dimension.type == "fidelity"]
        if len(fidelities) > 1:
            raise ConfigurationError(
                f"{' and '.join(fidelities)} are fidelities; a space has at most one",
                "Make the others dimensions such as 'randint(1, 10)', or constants.",
            )
        self._dimensions = {dimension.name: dimension for dimension in ordered}

    @classmethod
    def parse(cls, priors: Mapping[str, Any]) -> Space:
        """Return the space of a nested or flat mapping of priors.

        Raises
        ------
        ConfigurationError
            As the constructor does; or a name isn't a string, or has an empty level.
        InvalidPrior
            A prior is invalid.
        """
        space, faults = cls.read(priors)
        if space is None:
            raise faults[0].error
        return space

    @classmethod
    def read(cls, priors: Mapping[str, Any]) -> tuple[Space | None, list[SpaceFault]]:
        """Return the same space and no fault, or None and every fault, in one pass.

        Raises
        ------
        ConfigurationError
            ``priors`` isn't a mapping.
        """
        if not isinstance(priors, Mapping):
            raise ConfigurationError(
                f"the search space is {priors!r:.60}, not a mapping of names to priors",
                "Write a line for each dimension, such as lr: 'loguniform(1e-5, 1)'.",
            )
        dimensions: list[Dimension] = []
        faults: list[SpaceFault] = []
        for key, value in priors.items():
            try:
                for name, text in _leaves({key: value}, ()):
                    if len(dimensions) >= _MAX_DIMENSIONS:
                        return None, [*faults, SpaceFault(None, _too_many())]
                    dimensions.append(_dimension(name, text))
            except ConfigurationError as error:
                faults.append(SpaceFault(key, error))
        if faults:
            return None, faults
        try:
            return cls(dimensions), []
        except ConfigurationError as error:
            return None, [SpaceFault(None, error)]

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __contains__(self, one: object) -> bool:
        """Return whether there is a dimension of this name, or a trial is a point of the space."""
        params = getattr(one, "params", None)
        if not isinstance(params, Mapping):
            return one in self._dimensions
        try:
            self.check(self.flatten(params))
        except ConfigurationError:
            return False
        return True

    def _repr_html_(self) -> str:
        """Return what a notebook shows: names and priors."""
        return html_table("Space", self.configuration.items())

    def __repr__(self) -> str:
        return f"Space.parse({self.configuration!r})"

    @property
    def configuration(self) -> dict[str, str]:
        """Flat names and the canonical text of their priors; parsing it gives an equal space."""
        return {name: dimension.get_prior_string() for name, dimension in self.items()}

    def settled(self) -> Space:
        """Return the space as a new experiment records it; see :meth:`Dimension.settled`."""
        return Space(dimension.settled() for dimension in self.values())

    @property
    def arguments(self) -> list[str]:
        """The names on the top level, which are the arguments of the user's function."""
        return list(dict.fromkeys(name.partition(".")[0] for name in self))

    @property
    def cardinality(self) -> int | float:
        """How many points there are; infinite with a real dimension."""
        counts = [dimension.cardinality for dimension in self.values()]
        # A count may be too large for a float, so infinity isn't multiplied with it.
        return math.inf if math.inf in counts else math.prod(counts)

    @property
    def fidelity(self) -> str | None:
        """The name of the fidelity dimension, or None."""
        names = (name for name, dimension in self.items() if dimension.type == "fidelity")
        return next(names, None)

    def sample(self, rng: random.Random | None = None) -> Params:
        """Return a random point by flat name, drawn from the priors.

        Without ``rng`` it isn't reproducible.
        """
        if rng is None:
            from random import Random

            rng = Random()
        return {name: dimension.sample(rng) for name, dimension in self.items()}

    def assert_contains(self, trial: Any) -> None:
        """Raise unless ``trial``, by its ``params``, is a point of the space.

        Raises
        ------
        InvalidParams
            A dimension is missing or unknown, or its value isn't allowed.
        """
        try:
            self.check(self.flatten(trial.params))
        except ConfigurationError as error:
            raise InvalidParams(error.message, error.hint) from None

    def check(self, params: Mapping[str, Any]) -> None:
        """Raise unless ``params``, by flat name, is a point of the space.

        Raises
        ------
        ConfigurationError
            A dimension is missing or unknown, or its value isn't allowed.
        """
        for name in params:
            if name not in self:
                raise ConfigurationError(
                    f"there is no dimension {name!r}{did_you_mean(str(name), self)}",
                    f"There are: {', '.join(self)}.",
                )
        for name, dimension in self.items():
            if name not in params:
                raise ConfigurationError(f"{name} is missing", f"It takes {_takes(dimension)}.")
            if params[name] not in dimension:
                raise ConfigurationError(
                    f"{name} can't be {params[name]!r:.80}",
                    f"It takes {_takes(dimension)}: {dimension.get_prior_string():.200}.",
                )

    def point(self, params: Mapping[str, Any]) -> Params:
        """Return ``params`` as the journal stores them: ordered, with Python's numbers for numpy's.

        Raises
        ------
        ConfigurationError
            As :meth:`check` does.
        """
        self.check(params)
        return {name: _plain(params[name]) for name in self}

    @staticmethod
    def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"a": {"b": 1}}`` for ``{"a.b": 1}``. The names must not clash."""
        nested: dict[str, Any] = {}
        for name, value in flat.items():
            *levels, last = name.split(".")
            inner = nested
            for level in levels:
                inner = inner.setdefault(level, {})
            inner[last] = value
        return nested

    @staticmethod
    def flatten(nested: Mapping[str, Any]) -> Params:
        """Return ``{"a.b": 1}`` for ``{"a": {"b": 1}}``; a flat mapping stays as it is."""
        flat: Params = {}
        for name, value in nested.items():
            if isinstance(value, Mapping):
                flat.update({f"{name}.{key}": inner for key, inner in Space.flatten(value).items()})
            else:
                flat[name] = value
        return flat


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def _takes(dimension: Dimension) -> str:
    if not dimension.shape:
        return dimension.allowed()
    return f"lists of shape {dimension.shape}, each element {dimension.allowed()}"


def _dimension(name: str, text: Any) -> Dimension:
    is_word = isinstance(text, str) and text.isidentifier() and text not in prior.DISTRIBUTIONS
    if not isinstance(text, str) or is_word:
        raise InvalidPrior(f"{name}: {text!r:.60} isn't a prior", _meant(name, text))
    return prior.parse(name, text)


def _meant(name: str, value: Any) -> str:
    """Return what to write instead of a value that isn't a prior."""
    if isinstance(value, list | tuple):
        return f'Write choices in quotes: {name}: "choices({list(value)!r:.60})".'
    if value is None:
        return _EXAMPLE
    shown = str(value).lower() if isinstance(value, bool) else f"{value!r:.60}"
    return f"Write a constant into kwargs: {{{name}: {shown}}} or into the command. {_EXAMPLE}"


def _too_many() -> ConfigurationError:
    return ConfigurationError(
        f"the search space has more than {_MAX_DIMENSIONS:,} dimensions",
        "Give one dimension a shape, such as 'uniform(0, 1, shape=100)'.",
    )


def _leaves(priors: Mapping[Any, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield flat names and their values.

    The levels are counted, as with YAML's aliases a mapping can contain itself.
    """
    if len(above) >= _MAX_LEVELS:
        raise ConfigurationError(
            f"the search space has more than {_MAX_LEVELS} levels at {'.'.join(above[:3])}…"
        )
    for name, value in priors.items():
        place = "".join(f"{level}." for level in above)
        if not isinstance(name, str):
            raise ConfigurationError(
                f"{place}{name!r} isn't a text, as the name of a dimension must be",
                f"Put {name} in quotes.",
            )
        if not all(level.strip() for level in name.split(".")):
            raise ConfigurationError(
                f"{place + name!r} isn't a name of a dimension: a part of it is empty",
                "Dots separate levels; each level needs a name.",
            )
        if not isinstance(value, Mapping):
            yield place + name, value
        elif value:
            yield from _leaves(value, (*above, name))
        else:
            raise InvalidPrior(f"{place}{name}: it is empty", _EXAMPLE)


def _check_names(names: list[str]) -> None:
    """Refuse a name that occurs twice, or that is both a dimension and a level."""
    hint = "Rename one of them."
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigurationError(f"{name} is there twice in the search space", hint)
        seen.add(name)
    for name in names:
        levels = name.split(".")
        for end in range(1, len(levels)):
            if (prefix := ".".join(levels[:end])) in seen:
                raise ConfigurationError(
                    f"{prefix} is both a dimension and the level above {name}", hint
                )
