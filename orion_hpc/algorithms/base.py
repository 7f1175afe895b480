"""What an algorithm is, and how one is made from the configuration.

Knows no algorithm but by name. To write a new one takes one file with one class::

    class Corners:
        cheap = True

        def __init__(self, space: Space, *, seed: int | None = None) -> None:
            self._space = space

        def suggest(self, history: History, number: int, rng: random.Random) -> Params | None:
            corners = ({k: d.interval()[i] for k, d in self._space.items()} for i in (0, -1))
            return next((point for point in corners if not history.has(point)), None)

and one entry point in its package's ``pyproject.toml``::

    [project.entry-points."orion_hpc.algorithms"]
    corners = "my_package.corners:Corners"

after which ``algorithm: {corners: {seed: 1}}`` works. Its options are the keyword-only parameters
of the class. A class may have a static method ``check(**options)`` that raises ConfigurationError
where the value of an option is wrong; it is asked before anything is written or submitted.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from orion_hpc import plugins
from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.model.trial import Params, Trial

if TYPE_CHECKING:  # a look at the configuration needs no space
    from orion_hpc.model.space import Space

BUILTIN = {
    "random": "orion_hpc.algorithms.random:Random",
    "gridsearch": "orion_hpc.algorithms.grid:GridSearch",
}
"""What ships with the package."""

ALIASES = {"grid_search": "gridsearch", "grid": "gridsearch"}
"""Other names, which the database doesn't know."""


class History(Protocol):
    """What an algorithm may know of its experiment. It is read only."""

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials by number: params, status and, where completed, the objective."""

    def has(self, params: Params) -> bool:
        """Return whether a trial with these params is registered."""


class Algorithm(Protocol):
    """Proposes points of the space.

    Several workers hold an instance each, and a proposal may come to nothing: another worker
    registered the number or the point first, and this one is asked again with the newer history.
    So what is proposed must follow from the arguments of ``suggest`` alone; an instance may keep
    only what it could compute again.
    """

    @property
    def cheap(self) -> bool:
        """Whether ``suggest`` takes well under a millisecond, so that it may hold the lock.

        Then all workers together propose what one alone would have, whatever their number.
        """

    def suggest(self, history: History, number: int, rng: random.Random) -> Params | None:
        """Return the params of trial ``number`` by flat name, or None if the space is exhausted.

        Parameters
        ----------
        history : History
            May end some numbers before ``number``, when several trials are proposed at once.
        number : int
            The trial to be registered.
        rng : random.Random
            The only source of chance, seeded with the experiment's seed and ``number``.
        """


def draw_generator(seed: int, number: int) -> random.Random:
    """Return the generator for trial ``number``: the same in every process, on every machine."""
    return random.Random(f"{seed}/{number}")  # a text is hashed with SHA-512


def make_algorithm(configuration: str | Mapping[str, Any], space: Space) -> Algorithm:
    """Return the algorithm that ``configuration`` asks for, on ``space``.

    Raises
    ------
    ConfigurationError
        As :func:`normalise` does, or the algorithm can't search this space.
    """
    ((name, options),) = normalise(configuration).items()
    algorithm: Algorithm = _load(name)(space, **options)
    return algorithm


def normalise(
    configuration: str | Mapping[str, Any], seed: int | None = None
) -> dict[str, dict[str, Any]]:
    """Return ``{name: options}`` with every option that the algorithm has, defaults filled in.

    Parameters
    ----------
    configuration : str or mapping
        ``"random"``, ``{"random": {"seed": 1}}`` or ``{"random": None}``.
    seed : int, optional
        Taken for the option ``seed`` where the algorithm has one and the configuration gives none.

    Raises
    ------
    ConfigurationError
        The algorithm or one of its options is unknown, or an option's value is wrong.
    """
    name, given = _split(configuration)
    algorithm = _load(name)
    required, defaults, is_open = _options(algorithm)
    known = [*required, *defaults]
    for key in given:
        if key not in known and not is_open:
            raise ConfigurationError(
                f"algorithm {name} has no option {key!r}{did_you_mean(str(key), known)}",
                f"Its options: {', '.join(known)}." if known else "It has no options.",
            )
    for key in required:
        if key not in given:
            raise ConfigurationError(
                f"algorithm {name} lacks its option {key}",
                f"Write algorithm: {{{name}: {{{key}: …}}}}.",
            )
    options = {**defaults, **given}
    if "seed" in known:
        options["seed"] = _checked_seed(name, options.get("seed"), seed)
    if check := getattr(algorithm, "check", None):
        check(**options)
    return {name: options}


def _split(configuration: Any) -> tuple[str, dict[str, Any]]:
    hint = "Write algorithm: random, or algorithm: {random: {seed: 1}}."
    if isinstance(configuration, Mapping):
        if len(configuration) != 1:
            count = f"{len(configuration)} algorithms" if configuration else "no algorithm"
            raise ConfigurationError(f"algorithm names {count}; it must be one", hint)
        ((name, options),) = configuration.items()
    else:
        name, options = configuration, None
    if not isinstance(name, str):
        raise ConfigurationError(f"algorithm is {name!r:.60}, not a name", hint)
    if not isinstance(options, Mapping | None):
        raise ConfigurationError(f"the options of {name} are {options!r:.60}, not a mapping", hint)
    name = name.lower()
    return ALIASES.get(name, name), dict(options or {})


def _load(name: str) -> Any:
    return plugins.load("algorithm", name, BUILTIN)


def _options(algorithm: Any) -> tuple[list[str], dict[str, Any], bool]:
    """Return an algorithm's required options, the defaults of the others, whether it takes more."""
    import inspect

    parameters = inspect.signature(algorithm).parameters.values()
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return (
        [p.name for p in named if p.default is p.empty],
        {p.name: p.default for p in named if p.default is not p.empty},
        any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


def _checked_seed(name: str, given: Any, default: int | None) -> int | None:
    value = default if given is None else given
    if value is None or (type(value) is int and value >= 0):
        return value
    raise ConfigurationError(
        f"the seed of {name} is {value!r:.60}, not a whole number from 0", "Write seed: 1."
    )
