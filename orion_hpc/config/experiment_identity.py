"""Compares the recorded configurations of two experiments. Pure.

The caller decides whether a different experiment is refused or becomes the next version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orion_hpc.errors import InvalidPrior
from orion_hpc.model import prior
from orion_hpc.model.history import lacks_run

_RUN = ("function", "command", "trial_arg")


def differences(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each difference that makes ``wanted`` another experiment.

    Both are what :meth:`~orion_hpc.config.experiment_spec.ExperimentSpec.configuration` returns.
    Limits, paths and the worker block may differ between two runs of one experiment. So may the
    seed, if ``wanted`` gives none. An imported experiment that has no function or command yet
    accepts any.
    """
    if lacks_run(recorded):
        return search_differences(recorded, wanted)
    return [
        *search_differences(recorded, wanted),
        *_unlike("", {k: recorded.get(k) for k in _RUN}, {k: wanted.get(k) for k in _RUN}),
        *_unlike("kwargs", recorded.get("kwargs") or {}, wanted.get("kwargs") or {}),
    ]


def search_differences(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each difference in the space and the algorithm.

    What runs the trials isn't compared.
    """
    return [
        *_space(recorded.get("space") or {}, wanted.get("space") or {}),
        *_algorithm(recorded.get("algorithm"), wanted.get("algorithm")),
    ]


def _space(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Compare spaces. A recorded precision is the same as none, if that is its default."""
    same = {
        name: old[name]
        for name, text in new.items()
        if name in old and old[name] != text and old[name] == _settled(name, text)
    }
    yield from _unlike("space", old, {**new, **same})


def _settled(name: str, text: Any) -> str | None:
    try:
        return prior.parse(name, text).settled().get_prior_string()
    except InvalidPrior:
        return None


def _unlike(block: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in (*old, *(name for name in new if name not in old)):
        path = f"{block}.{name}" if block else name
        if name not in new:
            yield f"{path} is {_shown(old[name])} in the database and missing here"
        elif name not in old:
            yield f"{path} is {_shown(new[name])} here and missing in the database"
        elif not _same(old[name], new[name]):
            yield f"{path} is {_shown(old[name])} in the database and {_shown(new[name])} here"


def _algorithm(old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping) and list(old) == list(new):
        for name in new:
            theirs, ours = dict(old[name] or {}), dict(new[name] or {})
            if ours.get("seed") is None:
                theirs.pop("seed", None)
                ours.pop("seed", None)
            yield from _unlike(f"algorithm.{name}", theirs, ours)
    elif not _same(old, new):
        yield f"algorithm is {_shown(old)} in the database and {_shown(new)} here"


def _same(old: Any, new: Any) -> bool:
    """Return whether the values are equal, of equal types, with NaN equal to NaN.

    So ``1``, ``1.0`` and ``True`` differ. A list equals a tuple, since YAML has only lists.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    return type(old) is type(new) and repr(old) == repr(new)


def _shown(value: Any) -> str:
    text = "not given" if value is None else value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
