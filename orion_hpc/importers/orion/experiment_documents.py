"""Converts the document of an Oríon experiment, and notes what can't be converted.

Pure. The file may come from anyone, so every text and number that becomes a path, a variable or a
line on a terminal is checked first. No path of the file is kept.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orion_hpc.algorithms.factory import make_algorithm, normalise, orion_notes
from orion_hpc.errors import ConfigurationError, ImportRefused
from orion_hpc.importers.orion.inert_values import UnsupportedValue, ValueConverter, moment
from orion_hpc.importers.orion.pickle_file import block
from orion_hpc.importers.orion.trial_documents import FoundTrial, is_text, plain_name, read_trial
from orion_hpc.model.history import IMPORTED
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import BROKEN, params_key

Document = Mapping[str, Any]

_MAX_BROKEN = 3
_MAX_ATTEMPTS = 3
_MOST = 1 << 31
"""The upper bound of a version or a limit."""

_METADATA = ("user", "orion_version", "user_script", "user_args", "VCS")
"""Metadata of Oríon that is kept beside the settings."""

_LONGEST_METADATA = 2000
_LONGEST_PRIOR = 100_000
_MOST_LEVELS = 20


@dataclass(frozen=True, slots=True)
class FoundExperiment:
    """An experiment of Oríon, converted.

    Attributes
    ----------
    configuration : dict
        The configuration for the database; see :data:`~orion_hpc.model.state.IMPORTED`.
    create_time : float
        Seconds since the epoch.
    notes : list of str
        A sentence for each thing that was changed.
    """

    name: str
    version: int
    configuration: dict[str, Any]
    create_time: float
    trials: tuple[FoundTrial, ...]
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Name and version for people."""
        return f"{self.name} v{self.version}"


def label(document: Document) -> tuple[str, int]:
    """Return the name and version of an experiment's document.

    Raises
    ------
    ImportRefused
        It has none.
    """
    name, version = document.get("name"), document.get("version")
    version = 1 if version is None else version  # Oríon's default
    if not (isinstance(name, str) and is_text(name)):
        raise ImportRefused("an experiment in the file has no name that can be shown")
    if type(version) is not int or not 0 < version < _MOST:
        raise ImportRefused(f"the version of experiment {name!r} in the file isn't a whole number")
    return name, version


def read_experiment(
    document: Document, trials: Iterable[Document], converter: ValueConverter, seed: int, now: float
) -> FoundExperiment:
    """Return the experiment of a document and of its trials' documents.

    Parameters
    ----------
    document, trials : flat documents
    converter : ValueConverter
        With the budget of the whole file.
    seed : int
        The seed of an algorithm without one.
    now : float
        The creation time of an experiment without one, in seconds since the epoch.

    Raises
    ------
    ImportRefused
        It has no name.
    """
    name, version = label(document)
    notes: list[str] = []
    priors = _priors(document, notes)
    options = _options(document, converter, notes)
    space, algorithm = _converted(priors, options, seed, notes)
    created = _created(document, now)
    found = _trials(trials, converter, created, notes)
    max_broken = _limit(document.get("max_broken")) or _MAX_BROKEN
    broken = sum(trial.status == BROKEN for trial in found)
    if broken >= max_broken:
        notes.append(
            f"Its {broken} broken trials end it (max_broken is {max_broken}); to go on, submit "
            f"with --max-broken {broken + _MAX_BROKEN}."
        )
    configuration = {
        "space": space,
        "algorithm": algorithm,
        "function": None,
        "command": None,
        "kwargs": {},
        "trial_arg": None,
        "path": "",
        "max_trials": _limit(document.get("max_trials")),
        "max_broken": max_broken,
        "max_attempts": _MAX_ATTEMPTS,
        "working_dir": None,
        "worker": {},
        IMPORTED: _origin(document, converter, len(found), (name, priors, options, found)),
    }
    return FoundExperiment(name, version, configuration, created, found, notes)


def _origin(
    document: Document, converter: ValueConverter, trials: int, content: tuple[Any, ...]
) -> dict[str, Any]:
    """Return where the experiment comes from; equal for two readings of the same ``content``.

    The seed that is drawn for an algorithm without one is no part of the digest.
    """
    return {
        "program": "Oríon",
        "id": str(_plain(document.get("_id"), converter)),
        "parent": str(_plain(block(document, "refers.parent_id"), converter)),
        **_metadata(document, converter),
        "trials": trials,
        "digest": hashlib.sha256(repr(content).encode()).hexdigest(),
    }


def _priors(document: Document, notes: list[str]) -> dict[str, str]:
    found = block(document, "space") or block(document, "metadata.priors")
    priors: dict[str, str] = {}
    renamed = []
    for key, prior in found.items() if isinstance(found, dict) else ():
        name = plain_name(key)
        if name is None or name in priors or not is_text(prior, _LONGEST_PRIOR):
            notes.append("A dimension is left out: its name or its prior isn't a text.")
            continue
        priors[name] = prior
        if name != key:
            renamed.append(name)
    if renamed:
        notes.append(f"Dimensions without the slash that Oríon gave them: {', '.join(renamed)}.")
    return priors


def _options(
    document: Document, converter: ValueConverter, notes: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the algorithm in the form ``{name: options}``."""
    found = block(document, "algorithm") or block(document, "algorithms") or "random"
    if isinstance(found, str):
        found = {found: {}}
    nested: dict[str, Any] = {}
    for key, value in found.items() if isinstance(found, dict) else ():
        try:
            if not is_text(key) or key.count(".") > _MOST_LEVELS:
                raise UnsupportedValue("something without a name")
            _put(nested, key.split("."), converter.plain(value))
        except UnsupportedValue as error:
            notes.append(f"An option of the algorithm is left out: it is {error}.")
    if isinstance(kind := nested.pop("of_type", None), str):
        nested = {kind: nested}
    name, options = next(iter(nested.items()), ("random", {}))
    return {name.lower(): options if isinstance(options, dict) else {}}


def _put(nested: dict[str, Any], levels: list[str], value: Any) -> None:
    for level in levels[:-1]:
        nested = nested.setdefault(level, {})
        if not isinstance(nested, dict):
            raise UnsupportedValue("both a value and a mapping")
    nested[levels[-1]] = value


def _converted(
    priors: dict[str, str], options: dict[str, dict[str, Any]], seed: int, notes: list[str]
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Return space and algorithm as this version records them; unchanged, with a note, if it can't
    run them."""
    space, algorithm = priors, options
    try:
        parsed = Space.parse(priors)
        space = dict(parsed.configuration)
        ((name, given),) = options.items()
        # Oríon writes None for a random seed and infinity for no limit: both are left out.
        meant = {key: value for key, value in given.items() if value not in (None, math.inf)}
        known = normalise({name: meant}, seed)
        make_algorithm(known, parsed)
        algorithm = known
        notes.extend(f"{note}." for note in orion_notes({name: meant}))
    except ConfigurationError as error:
        notes.append(f"It can be looked at, but this version can't go on with it: {error.message}.")
    return space, algorithm


def _trials(
    documents: Iterable[Document], converter: ValueConverter, created: float, notes: list[str]
) -> tuple[FoundTrial, ...]:
    """Return the trials that can be converted, in the order of their submission."""
    counts: Counter[str] = Counter()
    found: list[FoundTrial] = []
    taken: set[str] = set()
    for document in documents:
        try:
            trial = read_trial(document, converter, created, counts)
        except UnsupportedValue as error:
            counts[f"left out because of {error}"] += 1
            continue
        # The rules of replay: one trial for an id, or for a point where there is no id.
        key = trial.id or params_key(trial.params)
        if key in taken:
            counts["left out because they are there twice"] += 1
            continue
        taken.add(key)
        taken.add(params_key(trial.params))
        found.append(trial)
    notes.extend(f"Trials {what}: {number}." for what, number in counts.items())
    return tuple(sorted(found, key=lambda trial: trial.submit_time))


def _limit(value: Any) -> int | None:
    """Return a limit; None where there is none, or where it is infinite."""
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    return value if type(value) is int and 0 < value < _MOST else None


def _created(document: Document, now: float) -> float:
    try:
        return moment(block(document, "metadata.datetime")).timestamp()
    except UnsupportedValue:
        return now


def _metadata(document: Document, converter: ValueConverter) -> dict[str, Any]:
    found = {name: _plain(block(document, f"metadata.{name}"), converter) for name in _METADATA}
    return {name: value for name, value in found.items() if value is not None}


def _plain(value: Any, converter: ValueConverter) -> Any:
    """Return ``value`` as plain data; None if it is unsupported, too long or not printable."""
    try:
        plain = converter.plain(value)
    except UnsupportedValue:
        return None
    if isinstance(plain, bytes) or (isinstance(plain, str) and not is_text(plain)):
        return None
    return plain if len(repr(plain)) <= _LONGEST_METADATA else None
