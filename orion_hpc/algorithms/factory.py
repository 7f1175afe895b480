"""Selection of an algorithm by its configuration, with its options and adapters.

What algorithms do is left to their own modules, which are imported by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orion_hpc import plugins
from orion_hpc.algorithms.base import Advise, Algorithm, no_advice
from orion_hpc.algorithms.orion_blocks import translate
from orion_hpc.errors import AlgorithmError, ConfigurationError, OrionHpcError, did_you_mean

if TYPE_CHECKING:  # checking a configuration needs no space
    from orion_hpc.model.space import Space

BUILTIN = {
    "random": "orion_hpc.algorithms.random:Random",
    "gridsearch": "orion_hpc.algorithms.grid:GridSearch",
    "qmc": "orion_hpc.algorithms.qmc:Qmc",
    "tpe": "orion_hpc.algorithms.tpe:Tpe",
    "gp": "orion_hpc.algorithms.gp:Gp",
    "cmaes": "orion_hpc.algorithms.cmaes:CmaEs",
    "nsga2": "orion_hpc.algorithms.nsga2:Nsga2",
    "asha": "orion_hpc.algorithms.asha:Asha",
    "hyperband": "orion_hpc.algorithms.hyperband:Hyperband",
    "pbt": "orion_hpc.algorithms.pbt:Pbt",
}
"""The algorithms of this package: ``name -> "module:class"``."""

ALIASES = {
    "grid_search": "gridsearch",
    "grid": "gridsearch",
    "cma-es": "cmaes",
    "cma_es": "cmaes",
    "nsgaii": "nsga2",
    "nsga-ii": "nsga2",
}
"""Alternative names, which are never recorded in the database."""

_TRIED_VALUES = 100
_FEW_VALUES = 20
"""Fewer different ones of :data:`_TRIED_VALUES` values of a real are reported."""

_KINDS = {
    "requires_type": (None, "real", "numerical"),
    "requires_dist": (None, "bounded", "linear"),
    "requires_shape": (None, "flattened"),
}


def make_algorithm(configuration: str | Mapping[str, Any], space: Space) -> Algorithm:
    """Return the algorithm of a configuration, for a space.

    Parameters
    ----------
    configuration : str or mapping
        As :func:`normalise` takes it.
    space : Space
        The user's space; the algorithm may get a transformed one.

    Raises
    ------
    ConfigurationError
        As :func:`normalise` does; or the algorithm can't search this space, or a library that it
        needs isn't installed.
    AlgorithmError
        A third party's algorithm violates the protocol.
    """
    ((name, options),) = normalise(configuration).items()
    kind = _load(name)
    _check_kind(name, kind)
    if getattr(kind, "needs_fidelity", False):
        if space.fidelity is None:
            raise ConfigurationError(
                f"algorithm {name} needs a fidelity, and the search space has none",
                "Add one, such as epochs: 'fidelity(1, 81, base=3)', or choose another algorithm.",
            )
        algorithm = _instance(name, kind, space, options)
    elif any(getattr(kind, key, None) for key in _KINDS):
        from orion_hpc.algorithms.space_adapter import SpaceAdapter
        from orion_hpc.algorithms.transform import Transform

        transform = Transform(space, *(getattr(kind, key, None) for key in _KINDS))
        algorithm = SpaceAdapter(_instance(name, kind, transform.space, options), transform)
    else:
        algorithm = _instance(name, kind, space, options)
    if name in BUILTIN and not getattr(kind, "repeats", False):
        return algorithm
    from orion_hpc.algorithms.validated import ValidatedAlgorithm

    return ValidatedAlgorithm(name, algorithm, space)


def advice(
    configuration: Mapping[str, Any], space: Space, max_trials: int | None, learns_from: str | None
) -> list[str]:
    """Return advice for a new experiment with these settings: sentences without the full stop.

    Parameters
    ----------
    configuration : mapping
        As :func:`normalise` returns it.
    space : Space
    max_trials : int, optional
    learns_from : str, optional
        The experiment of a warm start, whose trials count as history.
    """
    algorithm = make_algorithm(configuration, space)
    advise: Advise = getattr(algorithm, "advice", no_advice)
    name = next(iter(configuration))
    found = few_values(space)
    if learns_from is None:
        return found if max_trials is None else [*found, *_advised(name, advise, max_trials)]
    # An algorithm that learns has more than its own trials, so its advice doesn't hold.
    if not getattr(algorithm, "learns", True):
        found.append(
            f"{name} doesn't learn from results, so the trials of {learns_from} have no effect"
        )
    return found


def few_values(space: Space) -> list[str]:
    """Return a sentence for each real of which rounding leaves few values."""
    from dataclasses import replace

    from orion_hpc.model.dimension import MAX_PRECISION, Real, enough_digits

    found = []
    for name, dimension in space.settled().items():
        if not isinstance(dimension, Real) or dimension.precision is None:
            continue
        enough = enough_digits(dimension.distribution)
        if dimension.precision >= enough and enough < MAX_PRECISION:
            continue  # most spaces: a grid of scipy's distributions takes time
        values = len(replace(dimension, shape=(), default=None).grid(_TRIED_VALUES))
        if values < _FEW_VALUES:
            more = (
                f"write precision={enough}, or None for all digits"
                if dimension.precision < enough
                else "a float has no more digits, so search the distance from a constant instead"
            )
            found.append(
                f"{name} has only {values} value{'s' * (values > 1)} with "
                f"precision={dimension.precision}; {more}"
            )
    return found


def _advised(name: str, advise: Advise, max_trials: int) -> list[str]:
    """Return the algorithm's advice; raise AlgorithmError if a third party's has another form."""
    try:
        found: Any = advise(max_trials)
    except Exception as error:
        raise AlgorithmError(
            f"algorithm {name} can't give advice: {plugins.describe_error(error)}"
        ) from error
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise AlgorithmError(
            f"algorithm {name} gives what is no advice: {found!a:.80}",
            "It must return a list of sentences.",
        )
    return list(found)


def _instance(name: str, kind: Any, space: Space, options: Mapping[str, Any]) -> Algorithm:
    """Return an instance; raise AlgorithmError if a third party's class fails."""
    if name in BUILTIN:
        ours: Algorithm = kind(space, **options)
        return ours
    try:
        algorithm: Algorithm = kind(space, **options)
        # Within the try block, since an attribute may be a property that fails.
        has = {key: hasattr(algorithm, key) for key in ("cheap", "suggest", "learns", "advice")}
    except OrionHpcError:
        raise
    except Exception as error:
        raise AlgorithmError(
            f"algorithm {name} can't be made: {plugins.describe_error(error)}"
        ) from error
    for needed in ("cheap", "suggest"):
        if not has[needed]:
            raise AlgorithmError(
                f"algorithm {name} lacks {needed}",
                "The protocol is described in orion_hpc.algorithms.base.",
            )
    return algorithm


def _check_kind(name: str, kind: Any) -> None:
    """Raise AlgorithmError if the class requires an unknown kind of dimension."""
    for key, known in _KINDS.items():
        value = getattr(kind, key, None)
        if value not in known:
            meant = did_you_mean(str(value), filter(None, known))
            raise AlgorithmError(
                f"algorithm {name} has {key} = {value!r:.60}{meant}",
                f"There are: {', '.join(map(str, known))}.",
            )


def normalise(
    configuration: str | Mapping[str, Any], seed: int | None = None
) -> dict[str, dict[str, Any]]:
    """Return ``{name: options}`` with all options of the algorithm, including the defaults.

    Parameters
    ----------
    configuration : str or mapping
        ``"random"``, ``{"random": {"seed": 1}}``, ``{"random": None}`` or
        ``{"of_type": "random", "seed": 1}``; a block of Oríon's is translated.
    seed : int, optional
        The value of the option ``seed``, if the algorithm has one and the configuration gives none.

    Raises
    ------
    ConfigurationError
        The algorithm or one of its options is unknown, or an option's value is wrong.
    AlgorithmError
        A third party's algorithm fails to check its options.
    """
    name, given = _named(configuration)
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
        try:
            check(**options)
        except OrionHpcError:
            raise
        except Exception as error:
            raise AlgorithmError(
                f"algorithm {name} can't check its options: {plugins.describe_error(error)}"
            ) from error
    return {name: options}


def orion_notes(configuration: str | Mapping[str, Any]) -> list[str]:
    """Return a sentence for each option of Oríon's that :func:`normalise` leaves out."""
    return translate(*_split(configuration)).notes


def _named(configuration: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and the given options of a configuration, without Oríon's spellings."""
    found = translate(*_split(configuration))
    return found.name, found.options


def _split(configuration: Any) -> tuple[str, dict[str, Any]]:
    hint = "Write algorithm: random, or algorithm: {tpe: {seed: 1}}."
    name: Any
    options: Any
    if isinstance(configuration, Mapping) and "of_type" in configuration:
        options = {key: value for key, value in configuration.items() if key != "of_type"}
        name = configuration["of_type"]
    elif isinstance(configuration, Mapping):
        if len(configuration) != 1:
            count = f"{len(configuration)} algorithms" if configuration else "no algorithm"
            raise ConfigurationError(f"algorithm names {count}; it must be one", hint)
        ((name, options),) = configuration.items()
    else:
        name, options = configuration, None
    if not isinstance(name, str):
        raise ConfigurationError(f"algorithm is {name!r:.60}, not a name", hint)
    if not isinstance(options, Mapping | None):
        raise ConfigurationError(
            f"the options of {name} are {options!r:.60}, not a mapping",
            f"Write algorithm: {{{name}: {{seed: 1}}}}, or just algorithm: {name}.",
        )
    name = name.lower()
    return ALIASES.get(name, name), dict(options or {})


def _load(name: str) -> Any:
    found = plugins.load("algorithm", name, BUILTIN)
    if not callable(found):
        raise AlgorithmError(f"algorithm {name} is {found!a:.60}, which is not a class")
    return found


def _options(algorithm: Any) -> tuple[list[str], dict[str, Any], bool]:
    """Return the required options, the defaults of the others, and whether any other is taken."""
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


def needs_fidelity(name: str) -> bool:
    """Return whether the algorithm of this name requires a fidelity."""
    return bool(getattr(_load(name), "needs_fidelity", False))
