"""Compares the recorded configurations of two experiments. Pure.

What was searched makes another experiment; what runs may change. The caller decides what follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orion_hpc.errors import InvalidPrior
from orion_hpc.model import prior
from orion_hpc.model.history import lacks_run

_RUN = ("function", "command", "trial_arg")

_MISSING = object()


def differences(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each difference in what is searched and in what runs.

    Both are what :meth:`~orion_hpc.config.experiment_spec.ExperimentSpec.configuration` returns.
    Limits, paths and the worker block aren't compared. Neither is the seed, if ``wanted`` gives
    none, nor what runs, if one of both has no function or command.
    """
    return [
        *search_differences(recorded, wanted),
        *(_sentence(*one) for one in _run_differences(recorded, wanted)),
    ]


def search_differences(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each difference in the space and the algorithm.

    Each makes ``wanted`` another experiment.
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
    yield from _sentences("space", old, {**new, **same})


def _settled(name: str, text: Any) -> str | None:
    try:
        return prior.parse(name, text).settled().get_prior_string()
    except InvalidPrior:
        return None


def run_changes(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return ``setting: old -> new`` for each difference in what the trials run.

    None if one of both has no function or command: it was imported, or a Python program made it.
    """
    return [
        f"{path}: {_shown(old)} -> {_shown(new)}"
        for path, old, new in _run_differences(recorded, wanted)
    ]


def _run_differences(
    recorded: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    if lacks_run(recorded) or lacks_run(wanted):
        return
    yield from _unlike("", {k: recorded.get(k) for k in _RUN}, {k: wanted.get(k) for k in _RUN})
    yield from _unlike("kwargs", recorded.get("kwargs") or {}, wanted.get("kwargs") or {})


def _unlike(
    block: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, old and new value of each difference; ``_MISSING`` is no value."""
    for name in (*old, *(name for name in new if name not in old)):
        theirs, ours = old.get(name, _MISSING), new.get(name, _MISSING)
        if not _same(theirs, ours):
            yield f"{block}.{name}" if block else name, theirs, ours


def _sentences(block: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    return (_sentence(*one) for one in _unlike(block, old, new))


def _sentence(path: str, old: Any, new: Any) -> str:
    if new is _MISSING:
        return f"{path} is {_shown(old)} in the database and missing here"
    if old is _MISSING:
        return f"{path} is {_shown(new)} here and missing in the database"
    return f"{path} is {_shown(old)} in the database and {_shown(new)} here"


def _algorithm(old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping) and list(old) == list(new):
        for name in new:
            theirs, ours = dict(old[name] or {}), dict(new[name] or {})
            if ours.get("seed") is None:
                theirs.pop("seed", None)
                ours.pop("seed", None)
            yield from _sentences(f"algorithm.{name}", theirs, ours)
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
    if value is None or value is _MISSING:
        return "not given"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
