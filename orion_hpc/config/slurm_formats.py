"""The formats of sbatch's options: time limits, amounts of memory, sizes of job arrays.

Pure. A format is checked and the text kept, so that sbatch gets what the user wrote;
:class:`InvalidValue` says what was expected instead.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class InvalidValue(ValueError):
    """A value is invalid; the message says why, as the end of "… is 'x'; "."""


TIME = "minutes, mm:ss, hh:mm:ss, d-hh, d-hh:mm, d-hh:mm:ss or UNLIMITED"

MAX_TASKS = 4_000_001
"""The largest array that Slurm can be configured for (slurm.conf, ``MaxArraySize``)."""

_LAUNCHERS = ("wait", "parsable", "test-only", "wrap", "quiet", "help", "usage", "version", "chdir")
"""Options of sbatch that change what it runs, or its output."""

_SUBMITITS = ("setup", "teardown", "srun-args", "use-srun", "signal-delay-s", "array-parallelism",
              "stderr-to-stdout", "additional-parameters", "num-gpus", "map-count")  # fmt: skip
"""Names that submitit accepts in addition to sbatch's options."""

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_DIGITS = r"([0-9]{1,9})"
_TIMES: tuple[tuple[str, tuple[int, ...]], ...] = (
    (_DIGITS, (_MINUTE,)),
    (f"{_DIGITS}:{_DIGITS}", (_MINUTE, 1)),
    (f"{_DIGITS}:{_DIGITS}:{_DIGITS}", (_HOUR, _MINUTE, 1)),
    (f"{_DIGITS}-{_DIGITS}", (_DAY, _HOUR)),
    (f"{_DIGITS}-{_DIGITS}:{_DIGITS}", (_DAY, _HOUR, _MINUTE)),
    (f"{_DIGITS}-{_DIGITS}:{_DIGITS}:{_DIGITS}", (_DAY, _HOUR, _MINUTE, 1)),
)
_INDICES = re.compile(f"{_DIGITS}(?:-{_DIGITS}(?::{_DIGITS})?)?")


def time_limit_seconds(text: str) -> int | None:
    """Return the seconds of a time limit in any of sbatch's forms, None for no limit.

    sbatch rounds up to whole minutes and this doesn't, so a job may run up to 59 s longer. Zero
    means no limit (sbatch(1), ``--time``).

    Raises
    ------
    InvalidValue
        ``text`` has none of the formats.
    """
    if text.lower() in ("infinite", "unlimited", "-1"):
        return None
    for pattern, units in _TIMES:
        if match := re.fullmatch(pattern, text, re.ASCII):
            seconds = sum(int(n) * unit for n, unit in zip(match.groups(), units, strict=True))
            return seconds or None
    raise InvalidValue(f"expected {TIME}")


def check_memory(text: str) -> str:
    """Return ``text`` if it is an amount of memory for sbatch, such as ``2G`` or ``500``."""
    if not re.fullmatch(r"[0-9]+([KMGTP]B?)?", text, re.IGNORECASE | re.ASCII):
        raise InvalidValue("expected a whole number with K, M, G or T, such as 2G (M if left out)")
    return text


class ArraySize(NamedTuple):
    """The number of tasks of a job array, and how many may run at once (None: all)."""

    tasks: int
    throttle: int | None


def array_size(text: str) -> ArraySize:
    """Return the size in ``10``, ``10%4`` or sbatch's ``0-9%4``, ``1,3,8``, ``0-15:4``.

    A single number is a number of tasks here (for sbatch it is one index). Workers don't depend on
    the indices, so only their count is kept.

    Raises
    ------
    InvalidValue
        ``text`` has another format, or no task, or more tasks than Slurm allows.
    """
    indices, percent, limit = text.replace(" ", "").partition("%")
    if percent and not re.fullmatch(r"0*[1-9][0-9]{0,8}", limit, re.ASCII):
        raise InvalidValue(
            "expected the number of tasks that may run at once after '%', as in 10%4"
        )
    throttle = int(limit) if percent else None
    if re.fullmatch(_DIGITS, indices, re.ASCII):
        tasks = int(indices)
    else:
        ranges = [_indices(part) for part in indices.split(",")]
        tasks = sum(map(len, ranges))
        if len(ranges) > 1 and tasks <= MAX_TASKS:  # an index may be named twice
            tasks = len(set().union(*ranges))
    if not 1 <= tasks <= MAX_TASKS:
        raise InvalidValue(f"expected 1 to {MAX_TASKS:,} tasks")
    return ArraySize(tasks, throttle)


def _indices(part: str) -> range:
    match = _INDICES.fullmatch(part)
    if match is None:
        raise InvalidValue("expected a number of tasks, as in 10 or 10%4, or indices, as in 0-9%4")
    first, last, step = match.groups()
    start, stop, stride = int(first), int(last or first), int(step or 1)
    if stop < start or stride < 1:
        raise InvalidValue(f"expected the range {part} to count upwards")
    if stop >= MAX_TASKS:
        raise InvalidValue(f"expected indices below {MAX_TASKS:,}")
    return range(start, stop + 1, stride)


def check_additional_option(option: str) -> None:
    """Raise InvalidValue for an option that would prevent workers from running."""
    if option in _SUBMITITS:
        raise InvalidValue(f"{option!r} isn't an option of sbatch")
    if len(option) > 2 and "array".startswith(option):
        raise InvalidValue(f"{option!r} has its own place: use --array N, or write slurm.array")
    # sbatch accepts an abbreviated option (getopt_long(3)).
    if len(option) > 2 and any(known.startswith(option) for known in _LAUNCHERS):
        raise InvalidValue(f"{option!r} can't be used: sbatch has to submit the workers and say so")
