"""Merges defaults, files, environment and flags into settings.

``defaults < site's file < user's file < environment < experiment's file < flags``: a later layer
wins. Records the source of each setting. :mod:`orion_hpc.config.settings` validates the values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orion_hpc.config import checks
from orion_hpc.config.document import Document, read_value
from orion_hpc.config.provenance import Keys, Problem, Provenance, Resolution
from orion_hpc.config.settings import BLOCKS, Settings, known_keys, validate
from orion_hpc.errors import ConfigurationError, did_you_mean

PREFIX = "ORION_HPC_"

SITE_CONFIG = PREFIX + "SITE_CONFIG"
"""The variable that names the site's file; it isn't a setting."""

_RIVALS: tuple[tuple[Keys, Keys], ...] = (
    (("function",), ("command",)),
    (("slurm", "mem"), ("slurm", "mem_per_cpu")),
)
"""Pairs of exclusive settings: one in a layer replaces the other one of earlier layers."""


_TRIALS_OWN = ("ATTEMPT", "EXPERIMENT", "PARAMS", "RESULTS_PATH", "TRIAL_ID", "TRIAL_NUMBER",
               "WORKER_ID")  # fmt: skip
"""Variables in the environment of a trial's command, without the prefix."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one source.

    Parameters
    ----------
    label : str
        The name of the source, such as ``flags``.
    mapping : mapping
        Nested like the YAML. A None resets a setting to its default, so leave out the flags that
        weren't given.
    base : Path
        The base of relative paths.
    places : mapping of keys to str
        The place of a value, for errors: ``config.yaml, line 3``.
    home : bool, default False
        Whether ``base`` is the experiment's directory.
    """

    label: str
    mapping: Mapping[Any, Any]
    base: Path
    places: Mapping[tuple[Any, ...], str] = field(default_factory=dict)
    home: bool = False


def document_layer(document: Document, label: str | None = None, home: bool = True) -> Layer:
    """Return the layer of a configuration file; ``home``: it is the experiment's file."""
    name = label or document.name
    places = {keys: f"{name}, line {line}" for keys, (line, _) in document.positions.items()}
    return Layer(name, document.mapping, document.path.parent, places, home)


def environment_layer(environ: Mapping[str, str], base: Path | None = None) -> Layer:
    """Return the layer of variables such as ``ORION_HPC_WORKER__N_WORKERS=2``; skip empty ones.

    Raises
    ------
    ConfigurationError
        A variable has the prefix but isn't a setting, or its value can't be parsed.
    """
    mapping: dict[str, Any] = {}
    places: dict[tuple[Any, ...], str] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _is_ours(variable, environ) or not environ[variable]:
            continue
        keys = _variable_keys(variable)
        target = mapping
        for key in keys[:-1]:
            inner = target.setdefault(key, {})
            if not isinstance(inner, dict):
                outer = variable.rpartition("__")[0]
                raise ConfigurationError(
                    f"{variable} and {outer} contradict each other", "Unset one of the two."
                )
            target = inner
        target[keys[-1]] = read_value(environ[variable], variable)
        places[keys] = variable
    return Layer("environment", mapping, base or Path.cwd(), places)


def resolve(layers: Sequence[Layer], *, needs: Collection[str] = checks.NEEDS) -> Settings:
    """Return the settings of ``layers``; the last layer wins.

    Blocks (``worker``, ``slurm``, ``slurm.additional``) are merged key by key. Any other value
    replaces the earlier one as a whole.

    Parameters
    ----------
    layers : sequence of Layer
        In the order of increasing priority.
    needs : collection of str
        The required ones of ``name``, ``space`` and ``run``.

    Raises
    ------
    ConfigurationError
        A setting is wrong or missing; the message lists all of them.
    """
    merge = _Merge()
    for layer in layers:
        merge.add(layer)
    home = next((layer.base for layer in reversed(layers) if layer.home), None)
    provenance = Provenance(
        {keys: layer.label for keys, layer in merge.givers.items()},
        {keys: place for keys, (_, _, place) in merge.places.items()},
        {keys: layer.base for keys, layer in merge.givers.items()},
        home or (layers[-1].base if layers else Path.cwd()),
    )
    space, checked = checks.check(merge.values, needs)
    settings, found = validate(merge.values, Resolution(provenance, space))
    wrong = {problem.keys for problem in found}
    found = [*merge.problems, *found, *(p for p in checked if not p.keys or p.keys not in wrong)]
    if settings is None or found:
        raise _report(found, merge, layers)
    return settings


def explain(settings: Settings) -> Iterator[tuple[str, Any, str]]:
    """Yield path, value and place of every setting."""
    for name, value in settings.model_dump().items():
        if name in BLOCKS:
            for key, inner in value.items():
                yield f"{name}.{key}", inner, settings.place(f"{name}.{key}")
        else:
            yield name, value, settings.place(name)


@dataclass(slots=True)
class _Merge:
    """The merged layers."""

    values: dict[str, Any] = field(default_factory=dict)
    givers: dict[Keys, Layer] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    places: dict[Keys, tuple[int, int, str]] = field(default_factory=dict)
    """The place of the winning value of a setting: for order (layer, entry), and in words."""
    count: int = 0

    def add(self, layer: Layer) -> None:
        for first, second in _RIVALS:
            for given, rival in ((first, second), (second, first)):
                if _has(layer.mapping, given) and not _has(layer.mapping, rival):
                    self._drop(rival)
        self._lay(self.values, layer.mapping, (), layer)
        self.count += 1
        for entry, (keys, place) in enumerate(layer.places.items()):
            self.places[_canonical(keys)] = (self.count, entry, place)

    def _lay(
        self, target: dict[str, Any], source: Mapping[Any, Any], at: Keys, layer: Layer
    ) -> None:
        spelt: dict[str, Any] = {}
        for raw, value in source.items():
            keys = (*at, _spelling(at, raw))
            key = keys[-1]
            if not isinstance(raw, str):
                path = ".".join((*at, str(raw)))
                self.problems.append(
                    Problem(keys, f"unknown key {path}", f"Put {raw} in quotes: a key is a text.")
                )
                continue
            if key in spelt:
                path = ".".join((*at, key))
                message = f"{path} is given twice, as {spelt[key]!r} and as {raw!r}"
                self.problems.append(Problem(keys, message, f"Keep one {path}."))
                continue
            spelt[key] = raw
            if _is_block(keys) and isinstance(value, Mapping):
                inner = target.get(key)
                target[key] = dict(inner) if isinstance(inner, dict) else {}
                self._lay(target[key], value, keys, layer)
                if len(keys) == 1:
                    continue  # each key of the block has its own source, or is a default
            else:
                self._forget(keys)
                target.pop(key, None)
                if value is not None:
                    target[key] = dict(value) if isinstance(value, Mapping) else value
            self.givers[keys] = layer

    def _drop(self, keys: Keys) -> None:
        target: Any = self.values
        for key in keys[:-1]:
            target = target.get(key)
            if not isinstance(target, dict):
                return
        target.pop(keys[-1], None)
        self._forget(keys)

    def _forget(self, keys: Keys) -> None:
        """Remove the sources of ``keys`` and of all keys below, as the value is replaced."""
        for record in (self.givers, self.places):
            for known in [known for known in record if known[: len(keys)] == keys]:
                del record[known]


def _is_block(keys: Keys) -> bool:
    return keys == ("slurm", "additional") or (len(keys) == 1 and keys[0] in BLOCKS)


def _spelling(at: Keys, key: Any) -> str:
    """Return the canonical spelling of ``key``; options of sbatch may be written with dashes."""
    if at == ("slurm",):
        return str(key).replace("-", "_")
    if at == ("slurm", "additional"):
        return str(key).lstrip("-").replace("_", "-")
    return str(key)


def _canonical(keys: tuple[Any, ...]) -> Keys:
    spelt: Keys = ()
    for key in keys:
        spelt = (*spelt, _spelling(spelt, key))
    return spelt


def _has(mapping: Any, keys: Keys) -> bool:
    for wanted in keys[:-1]:
        mapping = mapping.get(wanted)
        if not isinstance(mapping, Mapping):
            return False
    return any(
        _spelling(keys[:-1], key) == keys[-1] and value is not None
        for key, value in mapping.items()
    )


def _is_ours(variable: str, environ: Mapping[str, str]) -> bool:
    """Return whether the variable is no setting: it names the site's file, or is a trial's."""
    name = variable.removeprefix(PREFIX)
    if name == "WORKING_DIR":
        return PREFIX + "TRIAL_ID" in environ
    return variable == SITE_CONFIG or name in _TRIALS_OWN


def _variable_keys(variable: str) -> Keys:
    keys = tuple(variable.removeprefix(PREFIX).lower().split("__"))
    at: Keys = ()
    for key in keys:
        if at == ("slurm", "additional"):
            return (*at, "__".join(keys[2:]))
        if at and at[0] not in BLOCKS:
            whole = PREFIX + at[0].upper()
            raise ConfigurationError(
                f"{variable} sets a part of {at[0]}, which can only be set as a whole",
                f"Write {whole}='{{…}}'." if at[0] in ("space", "kwargs") else f"Set {whole}.",
            )
        if len(at) > 1 or key not in known_keys(at):
            known = ["__".join((*at[:1], name)).upper() for name in known_keys(at[:1])]
            guess = did_you_mean(variable.removeprefix(PREFIX), known)
            guess = guess.replace("mean ", f"mean {PREFIX}")
            raise ConfigurationError(
                f"the environment variable {variable} isn't a setting{guess}",
                "Unset or rename it.",
            )
        at = (*at, key)
    return at


def _report(found: Sequence[Problem], merge: _Merge, layers: Sequence[Layer]) -> ConfigurationError:
    """Return one error that lists all problems in the order of their sources."""
    fallback = next((layer.label for layer in reversed(layers) if layer.home), "")
    entries = []
    for index, problem in enumerate(found):
        order, place = [-1, -1], fallback if not problem.keys else ""
        for length in range(len(problem.keys), 0, -1):
            keys = problem.keys[:length]
            if keys in merge.places:
                *order, place = merge.places[keys]
                break
            if keys in merge.givers:
                place = merge.givers[keys].label
                break
        entries.append(
            (order, index, f"{place}: {problem.message}" if place else problem.message, problem)
        )
    entries.sort(key=lambda item: item[:2])
    hints = list(dict.fromkeys(item[3].hint for item in entries if item[3].hint))
    lines = [item[2] for item in entries]
    if len(lines) == 1:
        return ConfigurationError(lines[0], hints[0] if hints else "")
    listed = "\n".join(f"  {line}" for line in lines)
    return ConfigurationError(f"{len(lines)} settings are wrong:\n{listed}", "\n".join(hints))
