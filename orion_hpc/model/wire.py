"""The wire form of events, and its validation.

An event is a plain tuple ``(code, *fields)``, with the fields of :mod:`orion_hpc.model.event` in
their order. A code is never reused for another kind, and new fields are only added at the end of a
kind, with a default. Two fields differ: the results of a trial are a tuple of ``(name, type,
value)``, and a tuple of strings stays a tuple.

A file may hold anything, so every field is checked on reading: its type, its range, and its depth
and size. The same check is made before writing, so that nothing is written that no reader accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, NamedTuple

from orion_hpc.model import event as ev

_Time = (float, int)
_TimeOrNone = (float, int, type(None))
_TextOrNone = (str, type(None))
_UsageOrNone = (tuple, type(None))

_MOST = 1 << 53
"""Bound of the numbers of trials, attempts and so on: a float represents all of them exactly."""

_LATEST = 250_000_000_000.0
"""Seconds since the epoch, in the year 9892: the latest time, which every program can show."""

_DEEPEST = 24
"""The most levels of lists in a value; a space has fewer (see :mod:`orion_hpc.model.space`)."""

_NO_LIMIT = 1 << 63

LONGEST_STATISTIC = 10_000
"""Characters of a statistic that is a text."""

_MOST_BITS = 1023
"""Bits of an integer: it can be printed, and converted to a float."""

LONGEST_NAME = 1000
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")  # the same set in every version of Unicode


class _Kind(NamedTuple):
    """How to decode a kind of event.

    ``shapes`` are the allowed types of the tuple's elements, including the code. ``read`` returns
    the event of a tuple with one of these shapes, or None if a value is out of range. ``defaults``
    are for the fields that older versions didn't write.
    """

    shapes: frozenset[tuple[type, ...]]
    read: Callable[[tuple[Any, ...]], Any]
    defaults: tuple[Any, ...]
    length: int
    name: str


def encode(event: ev.Event) -> tuple[Any, ...]:
    """Return the event's wire form."""
    code = _CODES[type(event)]
    if type(event) is ev.CompleteTrial:
        results = tuple((one["name"], one["type"], one["value"]) for one in event.results)
        if event.usage is None:
            return (code, event.number, event.attempt, results, event.time)
        return (code, event.number, event.attempt, results, event.time, event.usage)
    if type(event) is ev.LearnTrials:
        trials = tuple(
            (params, tuple((one["name"], one["type"], one["value"]) for one in results))
            for params, results in event.trials
        )
        return (code, event.source, event.part, trials, event.time, event.more)
    if type(event) is ev.RegisterTrial and event.parent is None:
        return (code, *event[:-1])
    return (code, *event)


def decode(wire: Any) -> ev.Event:
    """Return the event of a wire form; raise ValueError if it isn't valid."""
    if type(wire) is not tuple or not wire or type(wire[0]) is not int or wire[0] not in _KINDS:
        raise ValueError(f"no event looks like {_shown(wire)}")
    shapes, read, defaults, length, name = _KINDS[wire[0]]
    if 0 < length - len(wire) <= len(defaults):
        wire += defaults[len(wire) - length :]
    event: ev.Event | None = read(wire) if tuple(map(type, wire)) in shapes else None
    if event is None:
        raise ValueError(f"no {name} looks like {_shown(wire[1:])}")
    return event


def encode_transaction(writer: str, counter: int, events: Iterable[ev.Event]) -> tuple[Any, ...]:
    """Return the plain value whose pickle is a frame's payload."""
    return writer, counter, tuple([encode(event) for event in events])


def decode_transaction(value: Any) -> tuple[str, int, list[ev.Event]]:
    """Return writer, counter and events; raise ValueError if it isn't a transaction."""
    if type(value) is tuple and len(value) == 3:
        writer, counter, wires = value
        if (
            type(writer) is str
            and type(counter) is int
            and type(wires) is tuple
            and 0 <= counter < _MOST
        ):
            return writer, counter, [decode(wire) for wire in wires]
    raise ValueError(f"no transaction looks like {_shown(value)}")


def _shown(value: Any) -> str:
    try:
        return f"{value!a:.100}"
    except (ValueError, RecursionError):  # a number of too many digits; a very deep list
        return f"this {type(value).__name__}"


def valid_name(text: str) -> bool:
    """Return whether an experiment may have this name: one line, not too long.

    :func:`orion_hpc.sharedfs.layout.safe_name` makes a part of a path of it.
    """
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None and is_text(text)


# -- values ----------------------------------------------------------------------------------------


def is_text(text: str) -> bool:
    """Return whether the string can be encoded: half of a surrogate pair can't."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _finite(number: Any) -> bool:
    if type(number) is float:
        return number - number == 0.0
    return type(number) is int and number.bit_length() <= _MOST_BITS


def _value(value: Any, depth: int = 0) -> bool:
    """Return whether it may be a hyperparameter's value: plain scalars and lists of them."""
    kind = type(value)
    if kind is float:
        return bool(value - value == 0.0)
    if kind is str:
        return is_text(value)
    if kind is int:
        return value.bit_length() <= _MOST_BITS  # type: ignore[no-any-return]
    if kind is list or kind is tuple:
        return depth < _DEEPEST and all(_value(one, depth + 1) for one in value)
    return kind is bool or value is None


def is_statistic(value: Any) -> bool:
    """Return whether it may be a statistic: numbers as a gradient's, a text, a boolean or None."""
    if type(value) is str:
        return len(value) <= LONGEST_STATISTIC and is_text(value)
    return value is None or type(value) is bool or is_gradient(value)


def is_gradient(value: Any, depth: int = 0) -> bool:
    """Return whether it may be a gradient: a number, or nested lists of numbers."""
    kind = type(value)
    if kind is list:
        return depth < _DEEPEST and all(is_gradient(one, depth + 1) for one in value)
    return kind is float or (kind is int and value.bit_length() <= _MOST_BITS)


def _plain(value: Any, depth: int = 0) -> bool:
    """Return whether it may be a setting: like a hyperparameter's value, and mappings of them."""
    if type(value) is dict:
        return depth < _DEEPEST and all(
            type(key) is str and is_text(key) and _plain(one, depth + 1)
            for key, one in value.items()
        )
    if type(value) is list or type(value) is tuple:
        return depth < _DEEPEST and all(_plain(one, depth + 1) for one in value)
    return type(value) is float or type(value) is bytes or _value(value)


# -- kinds -----------------------------------------------------------------------------------------

_new = tuple.__new__
"""Makes a named tuple of a tuple without handling each field: the next three kinds are decoded a
hundred thousand times when a database is opened."""


def _register(wire: tuple[Any, ...]) -> ev.RegisterTrial | None:
    _, number, params, time, id_, worker, parent = wire
    try:
        plain_names = "".join(params).isascii()
    except TypeError:  # a name that isn't a string
        return None
    if not (0 <= number < _MOST and 0 <= time < _LATEST):
        return None
    for value in params.values():
        if type(value) is float:
            if value - value != 0.0:
                return None
        elif not _value(value):
            return None
    if (
        (plain_names or all(map(is_text, params)))
        and (worker is None or worker.isascii() or is_text(worker))
        and (id_ is None or is_text(id_))
        and (parent is None or 0 <= parent < number)
    ):
        return _new(ev.RegisterTrial, wire[1:])
    return None


def _reserve(wire: tuple[Any, ...]) -> ev.ReserveTrial | None:
    _, number, attempt, worker, time = wire
    if (
        0 <= number < _MOST
        and 0 < attempt < _MOST
        and (time is None or 0 <= time < _LATEST)
        and (worker.isascii() or is_text(worker))
    ):
        return _new(ev.ReserveTrial, wire[1:])
    return None


def _complete(wire: tuple[Any, ...]) -> ev.CompleteTrial | None:
    _, number, attempt, results, time, usage = wire
    if not (0 <= number < _MOST and 0 < attempt < _MOST and (time is None or 0 <= time < _LATEST)):
        return None
    if usage is not None and not _usage(usage):
        return None
    named = []
    for one in results:
        if type(one) is not tuple or tuple(map(type, one)) not in _RESULTS:
            return None
        name, kind, value = one
        if not (_CHECKS.get(kind, is_gradient)(value) and is_text(name) and is_text(kind)):
            return None
        named.append({"name": name, "type": kind, "value": value})
    return _new(ev.CompleteTrial, (number, attempt, named, time, usage))


_MOST_LEARNED = 1_000
"""The most trials in one event."""


def _learn(wire: tuple[Any, ...]) -> ev.LearnTrials | None:
    _, source, part, trials, time, more = wire
    if not (is_text(source) and 0 <= part < _MOST and _time(time) and len(trials) <= _MOST_LEARNED):
        return None
    found = []
    for one in trials:
        if type(one) is not tuple or tuple(map(type, one)) != (dict, tuple):
            return None
        params, results = one
        if _register((2, 0, params, 0.0, None, None, None)) is None:
            return None
        completed = _complete((4, 0, 1, results, None, None))
        if completed is None:
            return None
        found.append((params, completed.results))
    return ev.LearnTrials(source, part, tuple(found), time, more)


def _usage(usage: tuple[Any, ...]) -> bool:
    """Return whether it is a usage: seconds of processor time, bytes of memory."""
    if tuple(map(type, usage)) not in _USAGES:
        return False
    cpu, peak = usage
    return bool(0 <= cpu < _LATEST and 0 <= peak < _MOST)


_USAGES = frozenset(((float, int), (int, int)))

_RESULTS = frozenset((str, str, kind) for kind in (float, int, list, str, bool, type(None)))

_CHECKS = {"objective": _finite, "constraint": _finite, "statistic": is_statistic}
"""By a result's type, whether its value is good; of all others, that of a gradient."""


def _create(wire: tuple[Any, ...]) -> ev.CreateExperiment | None:
    event = ev.CreateExperiment(*wire[1:])
    settings = event.configuration
    good = (
        valid_name(event.name)
        and 1 <= event.version < _MOST
        and _plain(settings)
        and settings.keys() >= {"max_trials", "max_broken"}
        and all(_setting(settings[key], key) for key in _SETTINGS.keys() & settings.keys())
        and ("imported" not in settings or _imported(settings))
        and _time(event.time)
    )
    return event if good else None


_NoneType = type(None)
_SETTINGS: dict[str, tuple[type, ...]] = {
    "max_trials": (int, _NoneType),
    "max_broken": (int,),
    "max_attempts": (int,),
    "working_dir": (str, _NoneType),
    "path": (str,),
    "space": (dict,),
    "algorithm": (dict,),
    "worker": (dict,),
    "kwargs": (dict,),
    "trial_arg": (str, _NoneType),
    "function": (str, _NoneType),
    "command": (list, tuple, _NoneType),
    "imported": (dict,),
}
"""The types of an experiment's settings, as far as this program reads them."""


def _imported(settings: dict[str, Any]) -> bool:
    trials = settings["imported"].get("trials")
    return type(trials) is int and _limit(trials) and settings.keys() >= {"space", "algorithm"}


def _setting(value: Any, key: str) -> bool:
    return type(value) in _SETTINGS[key] and (type(value) is not int or _limit(value))


def _release(wire: tuple[Any, ...]) -> ev.ReleaseTrial | None:
    event = ev.ReleaseTrial(*wire[1:])
    good = (
        0 <= event.number < _MOST
        and 0 < event.attempt < _MOST
        and (event.time is None or _time(event.time))
        and all(map(is_text, (event.status, event.cause, event.message)))
        and (event.usage is None or _usage(event.usage))
    )
    return event if good else None


def _limits(wire: tuple[Any, ...]) -> ev.ChangeLimits | None:
    event = ev.ChangeLimits(*wire[1:])
    good = event.max_trials is None or _limit(event.max_trials)
    return event if good and _limit(event.max_broken) and _time(event.time) else None


def _stop(wire: tuple[Any, ...]) -> ev.StopExperiment | None:
    event = ev.StopExperiment(*wire[1:])
    return event if is_text(event.reason) and _time(event.time) else None


def _resume(wire: tuple[Any, ...]) -> ev.ResumeExperiment | None:
    event = ev.ResumeExperiment(*wire[1:])
    return event if _time(event.time) else None


def _exhaust(wire: tuple[Any, ...]) -> ev.ExhaustSpace | None:
    event = ev.ExhaustSpace(*wire[1:])
    return event if 0 <= event.number < _MOST and _time(event.time) else None


def _launch(wire: tuple[Any, ...]) -> ev.LaunchJobs | None:
    event = ev.LaunchJobs(*wire[1:])
    code = [one for one in (event.commit, event.digest, event.snapshot) if one is not None]
    texts = (event.launcher, event.folder, *event.job_ids, *code)
    good = all(type(one) is str and is_text(one) for one in texts)
    return event if good and _time(event.time) else None


def _leave(wire: tuple[Any, ...]) -> ev.LeaveWorker | None:
    event = ev.LeaveWorker(*wire[1:])
    good = (
        is_text(event.worker)
        and _time(event.begin)
        and _time(event.time)
        and all(0 < count < _MOST for count in (event.cpus, event.n_workers))
        and (event.memory is None or 0 <= event.memory < _MOST)
        and (event.limit is None or _time(event.limit))
        and 0 <= event.peak < _MOST
    )
    return event if good else None


def _set(wire: tuple[Any, ...]) -> ev.SetStatus | None:
    event = ev.SetStatus(*wire[1:])
    good = 0 <= event.number < _MOST and 0 <= event.attempt < _MOST and is_text(event.status)
    return event if good and _time(event.time) else None


def _remove(wire: tuple[Any, ...]) -> ev.RemoveExperiment | None:
    event = ev.RemoveExperiment(*wire[1:])
    return event if 0 <= event.number < _MOST and _time(event.time) else None


def _time(time: float) -> bool:
    return 0 <= time < _LATEST


def _limit(number: int) -> bool:
    return 0 <= number < _NO_LIMIT


def _kind(kind: type[Any], read: Callable[[tuple[Any, ...]], Any], *fields: Any) -> _Kind:
    """Return how to decode ``kind``, given the type (or a tuple of types) of each field."""
    choices = [(int,), *(one if isinstance(one, tuple) else (one,) for one in fields)]
    defaults = tuple(kind._field_defaults.values())
    return _Kind(frozenset(product(*choices)), read, defaults, len(choices), kind.__name__)


_EVENTS: dict[int, tuple[Any, ...]] = {
    1: (ev.CreateExperiment, _create, str, int, dict, _Time),
    2: (ev.RegisterTrial, _register, int, dict, _Time, _TextOrNone, _TextOrNone, (int, _NoneType)),
    3: (ev.ReserveTrial, _reserve, int, int, str, _TimeOrNone),
    4: (ev.CompleteTrial, _complete, int, int, tuple, _TimeOrNone, _UsageOrNone),
    5: (ev.ReleaseTrial, _release, int, int, str, str, str, _TimeOrNone, _UsageOrNone),
    6: (ev.ChangeLimits, _limits, (int, _NoneType), int, _Time),
    7: (ev.StopExperiment, _stop, str, _Time),
    8: (ev.ResumeExperiment, _resume, _Time),
    9: (ev.ExhaustSpace, _exhaust, int, _Time),
    10: (ev.LaunchJobs, _launch, str, tuple, str, _Time, _TextOrNone, _TextOrNone, _TextOrNone),
    11: (ev.SetStatus, _set, int, int, str, _Time),
    12: (ev.RemoveExperiment, _remove, int, _Time),
    13: (ev.LeaveWorker, _leave, str, _Time, _Time, int, int, (int, _NoneType), _TimeOrNone, int),
    14: (ev.LearnTrials, _learn, str, int, tuple, _Time, bool),
}
"""Code -> the event, its reader, and the types of its fields."""

_KINDS = {code: _kind(*one) for code, one in _EVENTS.items()}
_CODES = {one[0]: code for code, one in _EVENTS.items()}
