"""All settings and their validation: a frozen model for each block of the YAML.

The only importer of pydantic, whose errors become this package's own messages here. Which source
of a value wins is decided in :mod:`orion_hpc.config.resolve`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
)

from orion_hpc.config import paths, slurm_formats
from orion_hpc.config.provenance import Keys, Problem, Provenance, Resolution
from orion_hpc.config.slurm_formats import ArraySize, InvalidValue
from orion_hpc.errors import did_you_mean
from orion_hpc.model.space import Space
from orion_hpc.model.wire import LONGEST_NAME, valid_name

# --- validators of single values --------------------------------------------------------------


def _text(value: Any) -> str:
    # A number is an unquoted text, as in "account: 123"; 1.10 has lost its zero already.
    if isinstance(value, float):
        raise InvalidValue("put it in quotes to make it a text")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidValue("")
    # A line break would end the #SBATCH line.
    if not (text := str(value)).strip() or not text.isprintable():
        raise InvalidValue("expected a text of printable characters")
    return text


def _trial_time(value: Any) -> Any:
    if value is False:  # YAML's "off"
        return "off"
    if isinstance(value, str) and value not in ("auto", "off"):
        if value.isdecimal():
            raise InvalidValue("write seconds without quotes, or a time with ':'")
        try:
            value = slurm_formats.time_limit_seconds(value)
        except InvalidValue:
            raise InvalidValue("") from None
    if value is None or isinstance(value, bool) or (not isinstance(value, str) and value <= 0):
        raise InvalidValue("")
    return value


def _count(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value


def _name(value: Any) -> str:
    name = _text(value)
    if not valid_name(name):
        raise InvalidValue(f"expected at most {LONGEST_NAME:,} printable characters")
    return name


def _function(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    module, colon, name = value.partition(":")
    if colon and _dotted(f"{module}.{name}") and not module.endswith(".py"):
        return value
    if not colon:  # module.function, as in Python
        module, _, name = value.rpartition(".")
    meant = f"{module.removesuffix('.py')}:{name}"
    if _dotted(meant.replace(":", ".")):
        raise InvalidValue(f"expected module:function (did you mean {meant}?)")
    raise InvalidValue("expected module:function, as in svm:main")


def _dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _command(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value or value[0] == "":
        raise InvalidValue("")
    return tuple(map(_word, value))


def _word(value: Any) -> str:
    if isinstance(value, float):
        raise InvalidValue(f"put {value} in quotes, so that it is passed on as you write it")
    if not isinstance(value, str):
        return _text(value)
    if "\0" in value:
        raise InvalidValue("a word of a command can't have a null character")
    return value


def _identifier(value: Any) -> Any:
    if isinstance(value, str) and not value.isidentifier():
        raise InvalidValue("expected the name of an argument of the function")
    return value


def _kwargs(value: Any) -> Any:
    if isinstance(value, Mapping):
        for name, constant in value.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise InvalidValue(f"{name!r} can't be the name of an argument")
            _plain(constant, name, 0)
        return dict(value)
    return value


def _plain(value: Any, name: str, depth: int) -> None:
    if depth > 50:
        raise InvalidValue(f"the value of {name} nests too deeply")
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            _plain(item, name, depth + 1)
    elif not (value is None or isinstance(value, bool | int | float | str)):
        kind = type(value).__name__
        raise InvalidValue(f"the value of {name} has a {kind}, which the database doesn't keep")


def _additional(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    options: dict[str, str | bool] = {}
    for name, setting in value.items():
        if not _OPTION_NAME.fullmatch(str(name)):
            raise InvalidValue(
                f"{name!r} isn't the long name of an option of sbatch, as in mail-type"
            )
        slurm_formats.check_additional_option(str(name))
        if str(name).replace("-", "_") in SlurmOptions.model_fields:
            raise InvalidValue(f"{name!r} has its own place: write slurm.{name}")
        if setting is None or setting is False:
            continue
        try:
            options[str(name)] = setting if setting is True else _text(setting)
        except InvalidValue as error:
            raise InvalidValue(f"{name!r} is {_shown(setting)}; {str(error) or _OPTION}") from None
    return options


def _checked(check: Callable[[str], object]) -> BeforeValidator:
    """Return a validator that keeps the user's text if ``check`` accepts it."""

    def keep(value: Any) -> str:
        text = _text(value)
        check(text)
        return text

    return BeforeValidator(keep)


def _provenance(info: ValidationInfo) -> Provenance:
    context: Any = info.context
    found: Provenance = context.provenance
    return found


def _path(read: Callable[[Any, Path], str], *block: str) -> BeforeValidator:
    def absolute(value: Any, info: ValidationInfo) -> str:
        provenance = _provenance(info)
        keys = (*block, str(info.field_name))
        return read(value, provenance.bases.get(keys, provenance.home))

    return BeforeValidator(absolute)


def _warm_start(value: Any, info: ValidationInfo) -> Any:
    """Return ``{"name", "version", "storage"}``; None for a key that isn't given."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        return value
    known = ("name", "version", "storage")
    for key in value:
        if key not in known:
            raise InvalidValue(f"there is no key {key!r} in it{did_you_mean(str(key), known)}")
    if "name" not in value:
        raise InvalidValue("its name is missing, as in {name: first, storage: ./old.pkl}")
    version, storage = value.get("version"), value.get("storage")
    if version is not None and (type(version) is not int or version < 1):
        raise InvalidValue("its version must be a whole number of at least 1")
    provenance = _provenance(info)
    base = provenance.bases.get((str(info.field_name),), provenance.home)
    return {
        "name": _name(value["name"]),
        "version": version,
        "storage": None if storage is None else paths.storage_path(storage, base),
    }


def _log_path(value: Any, base: Path) -> str:
    return paths.absolute_path(_text(value), base)


_OPTION_NAME = re.compile(r"[a-z][a-z0-9]+(-[a-z0-9]+)*")
_OPTION = "expected a text, a whole number or true"
_Text = Annotated[str, BeforeValidator(_text)]
_Count = Annotated[int, BeforeValidator(_count), Field(ge=1)]


class _Block(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )


# --- the blocks; a field's description says in an error what was expected ---------------------


class WorkerOptions(_Block):
    """The ``worker`` block: what one job does."""

    n_workers: int = Field(default=1, ge=1, description="a whole number of at least 1")
    executor: _Text = Field(default="joblib", description="the name of an executor, such as joblib")
    heartbeat: float = Field(default=60.0, gt=0, description="seconds, more than 0")
    idle_timeout: float = Field(default=60.0, ge=0, description="seconds, 0 or more")
    on_suspend: Literal["auto", "keep", "release"] = Field(
        default="auto", description="auto, keep or release"
    )
    grace: float = Field(default=60.0, ge=0, description="seconds, 0 or more")
    max_requeues: int = Field(default=100, ge=0, description="a whole number, 0 or more")
    trial_time: Annotated[float | Literal["auto", "off"], BeforeValidator(_trial_time)] = Field(
        default="auto", description="auto, off, or seconds, or a time such as 00:30:00"
    )


class SlurmOptions(_Block):
    """The ``slurm`` block: options of sbatch, as texts in the user's own form."""

    array: Annotated[str, _checked(slurm_formats.array_size)] | None = Field(
        default=None, description="a number of tasks, as in 10 or 10%4"
    )
    cpus_per_task: _Count | None = Field(default=None, description="a whole number of at least 1")
    time: Annotated[str, _checked(slurm_formats.time_limit_seconds)] | None = Field(
        default=None, description=slurm_formats.TIME
    )
    mem: Annotated[str, _checked(slurm_formats.check_memory)] | None = Field(
        default=None, description="an amount of memory, such as 2G"
    )
    mem_per_cpu: Annotated[str, _checked(slurm_formats.check_memory)] | None = Field(
        default=None, description="an amount of memory, such as 2G"
    )
    partition: _Text | None = Field(default=None, description="the name of a partition")
    account: _Text | None = Field(default=None, description="the name of an account")
    qos: _Text | None = Field(default=None, description="the name of a quality of service")
    gres: _Text | None = Field(default=None, description="generic resources, such as gpu:1")
    gpus_per_node: _Text | None = Field(
        default=None, description="a number of GPUs, such as 1 or a100:1"
    )
    constraint: _Text | None = Field(default=None, description="features of a node")
    job_name: _Text | None = Field(default=None, description="a text")
    output: Annotated[str, _path(_log_path, "slurm")] | None = Field(
        default=None, description="the path of a log"
    )
    additional: Annotated[dict[str, str | bool], BeforeValidator(_additional)] = Field(
        default_factory=dict, description="a mapping of other options of sbatch to their values"
    )

    @property
    def array_size(self) -> ArraySize | None:
        """The number of tasks of the array, and how many run at once."""
        return None if self.array is None else slurm_formats.array_size(self.array)

    @property
    def time_limit(self) -> int | None:
        """The time limit in seconds; None: no limit, or the site's default."""
        return None if self.time is None else slurm_formats.time_limit_seconds(self.time)


class Settings(_Block):
    """All settings, valid and with absolute paths.

    ``name``, ``space`` and one of ``function`` and ``command`` are None only where
    :func:`orion_hpc.config.resolve.resolve` was called without them in ``needs``.
    """

    name: Annotated[str, BeforeValidator(_name)] | None = Field(default=None, description="a name")
    version: int | None = Field(default=None, ge=1, description="a whole number of at least 1")
    function: Annotated[str, BeforeValidator(_function)] | None = Field(
        default=None, description="module:function, as in svm:main"
    )
    command: Annotated[tuple[str, ...], BeforeValidator(_command)] | None = Field(
        default=None, description='a list of words, as in ["python", "train.py", "--lr", "{lr}"]'
    )
    kwargs: Annotated[dict[str, Any], BeforeValidator(_kwargs)] = Field(
        default_factory=dict, description="a mapping of names of arguments to constants"
    )
    trial_arg: Annotated[str, BeforeValidator(_identifier)] | None = Field(
        default=None, description="the name of an argument of the function"
    )
    space: dict[Any, Any] | None = Field(
        default=None, description='a mapping of names to priors, as in {lr: "loguniform(1e-5, 1)"}'
    )
    algorithm: str | dict[str, Any] = Field(
        default="random",
        description="a name, as in random, or a mapping, as in {random: {seed: 1}}",
    )
    warm_start: Annotated[dict[str, Any], BeforeValidator(_warm_start)] | None = Field(
        default=None,
        description="the name of an experiment, or a mapping, as in "
        "{name: first, storage: ./old.pkl}",
    )
    max_trials: int | None = Field(
        default=None, ge=1, description="a whole number of at least 1, or null for no limit"
    )
    max_broken: int = Field(default=3, ge=1, description="a whole number of at least 1")
    max_attempts: int = Field(default=3, ge=1, description="a whole number of at least 1")
    storage: Annotated[str, _path(paths.storage_path)] = Field(
        default=paths.DEFAULT_STORAGE, description="a path, as in ./db.pkl"
    )
    lock: Literal["flock", "flock-database", "lease"] | None = Field(
        default=None,
        description="flock, flock-database or lease, or null for what suits the file system",
    )
    allow_group: bool = Field(default=False, description="true or false")
    working_dir: Annotated[str, _path(paths.absolute_path)] | None = Field(
        default=None, description="a path"
    )
    snapshot: bool = Field(default=False, description="true or false")
    template: Annotated[str, _path(paths.absolute_path)] | None = Field(
        default=None, description="the path of an sbatch template"
    )
    worker: WorkerOptions = Field(
        default_factory=WorkerOptions, description="a mapping, as in {n_workers: 1}"
    )
    slurm: SlurmOptions = Field(
        default_factory=SlurmOptions, description='a mapping, as in {time: "00:30:00", mem: 2G}'
    )

    _provenance: Provenance = PrivateAttr()
    _parsed_space: Space | None = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Keep what was found out when the settings were resolved."""
        self._provenance, self._parsed_space = context

    @property
    def directory(self) -> Path:
        """The experiment's directory, where its module is found: that of the configuration file."""
        return self._provenance.home

    def origin(self, path: str) -> str:
        """Return the label of the layer that gave the setting at ``path``, or ``defaults``."""
        return self._provenance.label(tuple(path.split(".")))

    def place(self, path: str) -> str:
        """Return its place in the layer: ``config.yaml, line 3``, ``ORION_HPC_LOCK``, or label."""
        return self._provenance.place(tuple(path.split(".")))

    @property
    def parsed_space(self) -> Space | None:
        """The search space; None where none was given."""
        return self._parsed_space


BLOCKS: dict[str, type[_Block]] = {"worker": WorkerOptions, "slurm": SlurmOptions}
"""Keys whose mappings are merged key by key."""


def known_keys(keys: Keys) -> tuple[str, ...]:
    """Return the names that are allowed under ``keys``, for the top level and the blocks."""
    return tuple((BLOCKS[keys[0]] if keys else Settings).model_fields)


def validate(
    values: Mapping[str, Any], resolution: Resolution
) -> tuple[Settings | None, list[Problem]]:
    """Return the settings of ``values``, or None and all problems."""
    try:
        return Settings.model_validate(dict(values), context=resolution), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    problems: dict[Keys, Problem] = {}
    for item in found:
        problem = _problem(item["type"], item["loc"], item["input"], item.get("ctx", {}))
        # Each branch of "a name or a mapping" has an error for the same value.
        problems.setdefault(problem.keys, problem)
    return None, list(problems.values())


def _problem(kind: str, loc: tuple[Any, ...], given: Any, context: Mapping[str, Any]) -> Problem:
    block, keys = "", tuple(str(part) for part in loc)
    if keys[0] in BLOCKS and len(keys) > 1:
        block, keys = keys[0], keys[:2]
    else:
        keys = keys[:1]
    model = BLOCKS[block] if block else Settings
    path = ".".join(keys)
    if kind == "extra_forbidden":
        known, key, hint = list(model.model_fields), keys[-1], ""
        if block == "slurm":  # as sbatch and the documentation spell its options
            known, key = [name.replace("_", "-") for name in known], key.replace("_", "-")
            path = f"{block}.{key}"
            value = _shown(given) if _OPTION_NAME.fullmatch(key) else "…"
            hint = f"Write other options of sbatch as slurm: {{additional: {{{key}: {value}}}}}."
        guess = did_you_mean(key, known)
        return Problem(keys, f"unknown key {path!r}{guess}", "" if guess else hint)
    expected = f"expected {model.model_fields[keys[-1]].description}"
    reason = str(context.get("error", "")) if kind == "value_error" else ""
    return Problem(keys, f"{path} is {_shown(given)}; {reason or expected}")


def _shown(value: Any) -> str:
    """Return ``value`` as the user would write it, cut at 60 characters."""
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(map(_shown, value)) + "]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
