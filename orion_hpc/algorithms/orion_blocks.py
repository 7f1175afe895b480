"""Oríon's documented algorithm blocks in the options of this package. Pure.

Names that both have in common are left to ``factory``. An option that has no counterpart is left
out, with a note unless it has the value that Oríon writes by default.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_TPE_WEIGHTS = "trials are weighted as in Optuna's sampler"
_NEW_POINTS = "a point that was tried is replaced in another way"
_WITHOUT_EFFECT: dict[str, dict[str, tuple[Any, str]]] = {
    "tpe": {
        "equal_weight": (False, _TPE_WEIGHTS),
        "prior_weight": (1.0, _TPE_WEIGHTS),
        "full_weight_num": (25, _TPE_WEIGHTS),
        "max_retry": (100, _NEW_POINTS),
    },
    "asha": {"repetitions": (math.inf, "the search goes on until max_trials")},
    "pbt": {"fork_timeout": (60, _NEW_POINTS)},
    "evolutiones": {
        "repetitions": (math.inf, "the search goes on until max_trials"),
        "mutate": (None, "pbt has perturbation and resample_probability"),
        "max_retries": (1000, _NEW_POINTS),
    },
}
"""By algorithm and option: Oríon's default, and why the option has no effect here."""

_STRATEGIES = {
    "maxparallelstrategy": "max",
    "meanparallelstrategy": "mean",
    "noparallelstrategy": "none",
}
_DEFAULT_STRATEGY = {
    "of_type": "StatusBasedParallelStrategy",
    "strategy_configs": {"broken": {"of_type": "MaxParallelStrategy"}},
}


@dataclass(slots=True)
class Translation:
    """A block in the options of this package, and sentences on what was left out."""

    name: str
    options: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def without_effect(self, key: str, why: str) -> None:
        """Note that Oríon's option ``key`` has no effect."""
        self.notes.append(f"Oríon's {key} has no effect on {self.name} here: {why}")


def translate(name: str, options: Mapping[str, Any]) -> Translation:
    """Return the block ``{name: options}`` in the options of this package.

    A value that isn't as Oríon documents it stays, so that it is refused where options are checked.
    """
    found = Translation(name, dict(options))
    if "seed" in found.options:
        found.options["seed"] = _seed(found.options["seed"])
    for key, (default, why) in _WITHOUT_EFFECT.get(name, {}).items():
        if key in found.options and found.options.pop(key) not in (default, None):
            found.without_effect(key, why)
    if translator := _TRANSLATORS.get(name):
        translator(found)
    return found


def _seed(value: Any) -> Any:
    """Return one seed for several, as Oríon takes them."""
    if not isinstance(value, list | tuple) or not value:
        return value
    if not all(type(one) is int and one >= 0 for one in value):
        return value
    if len(value) == 1:
        return value[0]
    digest = hashlib.sha256(",".join(map(str, value)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _tpe(found: Translation) -> None:
    strategy = found.options.pop("parallel_strategy", None)
    if strategy is None or strategy == _DEFAULT_STRATEGY:
        return
    kind, given = _kind(strategy)
    if kind == "statusbasedparallelstrategy":
        configs = given.get("strategy_configs")
        running = configs.get("reserved") if isinstance(configs, Mapping) else None
        kind, _ = _kind(running or given.get("default_strategy"))
    if kind in _STRATEGIES:
        found.options.setdefault("strategy", _STRATEGIES[kind])
    else:
        found.without_effect("parallel_strategy", "write strategy: max, mean, min or none")


def _hyperband(found: Translation) -> None:
    repetitions = found.options.get("repetitions")
    if isinstance(repetitions, float):
        if repetitions == math.inf:
            found.options["repetitions"] = None
        elif repetitions.is_integer():
            found.options["repetitions"] = int(repetitions)


def _pbt(found: Translation) -> None:
    for kind, given in _parts(found.options.pop("exploit", None), "exploit_configs"):
        quantile = given.get("truncation_quantile")
        if kind == "truncateexploit" and isinstance(quantile, int | float):
            truncation = round(1 - quantile, 12)
            found.options.setdefault("truncation", truncation)
            if given.get("candidate_pool_ratio") not in (None, truncation):
                found.without_effect("candidate_pool_ratio", "it is the share that is replaced")
            if given.get("min_forking_population") not in (None, 5):
                found.without_effect("min_forking_population", "it is always 5")
        else:
            found.without_effect(given.get("of_type", "exploit"), "write truncation: 0.2")
    for kind, given in _parts(found.options.pop("explore", None), "explore_configs"):
        if kind == "resampleexplore" and "probability" in given:
            found.options.setdefault("resample_probability", given["probability"])
        elif kind == "perturbexplore" and "factor" in given:
            found.options.setdefault("perturbation", given["factor"])
            if given.get("volatility") not in (None, 0.0001):
                found.without_effect("volatility", "choices and bounds don't need it")
        else:
            found.without_effect(given.get("of_type", "explore"), "write perturbation: 1.2")


def _evolutiones(found: Translation) -> None:
    population = found.options.pop("nums_population", None)
    found.name = "pbt"
    if population is not None:
        found.options.setdefault("population_size", population)
    found.notes.insert(
        0, "EvolutionES isn't here; pbt, which is the nearest, searches with its population"
    )


_TRANSLATORS: dict[str, Callable[[Translation], None]] = {
    "tpe": _tpe,
    "hyperband": _hyperband,
    "pbt": _pbt,
    "evolutiones": _evolutiones,
}


def _kind(block: Any) -> tuple[str, Mapping[str, Any]]:
    """Return what a block's ``of_type`` names, in lower case, and the block."""
    given = block if isinstance(block, Mapping) else {}
    return str(given.get("of_type", "")).lower(), given


def _parts(block: Any, key: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the parts of a pipeline, or the block itself; without those of Oríon's default that
    say nothing here."""
    if block is None:
        return []
    parts = block.get(key) if isinstance(block, Mapping) else None
    found = map(_kind, parts if isinstance(parts, list) else [block])
    return [one for one in found if dict(one[1]) != _BACKTRACK]


_BACKTRACK = {
    "of_type": "BacktrackExploit",
    "min_forking_population": 5,
    "truncation_quantile": 0.9,
    "candidate_pool_ratio": 0.2,
}
