"""Reports of checks and repairs of a database file, as lines for people. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orion_hpc.text import counted

_MOST_SHOWN = 8


def check_lines(found: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the report of ``db check``: whether the file is sound, and further notes."""
    if found["gaps"] and not found["damage"]:
        yield f"{path} has gaps, of which nothing is lost ({_experiments(found['experiments'])}):"
    elif found["sound"]:
        yield (
            f"{path} is sound: {counted(found['transactions'], 'transaction')} in "
            f"{found['size']:,} bytes, {_experiments(found['experiments'])}."
        )
    else:
        first, *others = found["damage"]
        more = f", and in {counted(len(others), 'other place')}" if others else ""
        yield (
            f"{path} is damaged at offset {first['start']:,} ({_what(first)}){more}; "
            f"{counted(found['transactions'], 'transaction')} can be saved with "
            f"'orion-hpc db repair {shlex.quote(path)}'."
        )
        for other in others[:_MOST_SHOWN]:
            yield f"  offset {other['start']:,}: {_what(other)}"
        if found["experiments"]:
            yield f"Before the damage: {_experiments(found['experiments'])}."
        if found["missing"]:
            yield f"What is missing may be the result of {_of_trials(found['missing'])}."
    yield from _gap_lines(found, path)
    if found["torn"]:
        yield (
            f"{found['torn']:,} bytes are a write that is in progress or was cut short; the next "
            "one goes on behind it."
        )
    if found["restorations"]:
        yield (
            f"What had been destroyed in {counted(found['restorations'], 'place')} was restored "
            "from what its writers had kept."
        )
    if found["orphans"]:
        yield (
            f"{counted(found['orphans'], 'transaction')} of experiments that nothing made "
            "can't be used."
        )


def repair_lines(done: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the report of ``db repair``: what was left out, what was kept, and the new state."""
    if not done["repaired"]:
        text = "Nothing is to be repaired."
        if (trials := done["restored"]) is not None:
            text = f"What its writers had kept is restored: {_of_trials(trials) or 'no trial'}."
        yield f"{text} {next(check_lines(done, path))}"
        return
    lost = sum(one["end"] - one["start"] for one in done["damage"])
    yield (
        f"Repaired {path}: {counted(done['transactions'], 'transaction')} were kept, "
        f"{lost:,} bytes in {counted(len(done['damage']), 'place')} left out:"
    )
    for one in done["damage"][:_MOST_SHOWN]:
        yield f"  offset {one['start']:,}: {_what(one)}"
    if len(done["damage"]) > _MOST_SHOWN:
        yield f"  … ('--json' shows all {len(done['damage'])})"
    if done["missing"]:
        yield f"What is missing may be the result of {_of_trials(done['missing'])}."
    yield f"The damaged file is kept as {done['aside']}."
    before = {(one["number"]): one for one in done["experiments"]}
    for one in done["now"]["experiments"]:
        title = f"{one['name']}-v{one['version']}"
        old = before.get(one["number"])
        then = f"; before the damage: {_trials(old['trials'])}" if old else ""
        yield f"{title}: {_trials(one['trials'])}{then}"
        yield from _put_in(done["put_in"], title)
    for title in done["put_in"]["experiments"]:
        yield f"{title} stands for an experiment whose name and settings are lost."
    if done["orphans"] and not done["put_in"]["experiments"]:
        yield f"{counted(done['orphans'], 'transaction')} of lost experiments can't be used."


def _put_in(put_in: Mapping[str, Any], title: str) -> Iterator[str]:
    if again := put_in["again"].get(title):
        yield (
            f"  {_numbers(again)}: the registration was lost; the algorithm gave the parameters "
            "again."
        )
    if unknown := put_in["unknown"].get(title):
        yield f"  {_numbers(unknown)}: the parameters are lost; broken, unless there is a result."
    if attempts := put_in["attempts"].get(title):
        yield f"  {_numbers(attempts)}: a part of their history was lost."
    if raised := put_in["max_broken"].get(title):
        yield f"  max_broken: {raised[0]} -> {raised[1]}, for the trials that the damage broke."


def info_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the names and values that ``db info`` shows of the file."""
    workers = sum(map(len, found["workers"].values()))
    state = "sound" if found["sound"] else "has gaps, of which nothing is lost"
    if damage := found["damage"]:
        state = f"damaged at offset {damage[0]['start']:,}"
    return [
        ("path", found["path"]),
        ("state", state),
        ("format", "unknown" if found["format"] is None else str(found["format"])),
        ("lock", found["lock"] or "unknown"),
        ("id", found["id"] or "unknown"),
        ("owner", f"{found['owner']}, mode {found['mode']}" + (", group" * found["group"])),
        ("size", f"{found['size']:,} bytes"),
        ("transactions", f"{found['transactions']:,}"),
        ("seals", f"{found['seals']:,}"),
        ("torn bytes", f"{found['torn']:,}"),
        ("workers alive", str(workers)),
    ]


INFO_COLUMNS = ("experiment", "trials", "completed", "reserved", "waiting", "broken", "workers")
"""Headings of :func:`experiment_rows`."""


def experiment_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each experiment under :data:`INFO_COLUMNS`."""
    rows = []
    for one in found["experiments"]:
        trials, title = one["trials"], f"{one['name']}-v{one['version']}"
        waiting = trials["interrupted"] + trials["suspended"] + trials["new"]
        counts = (
            sum(trials.values()),
            trials["completed"],
            trials["reserved"],
            waiting,
            trials["broken"],
            len(found["workers"].get(title, ())),
        )
        rows.append((title, *map(str, counts)))
    return rows


def _what(fault: Mapping[str, Any]) -> str:
    size = f"{fault['end'] - fault['start']:,} bytes"
    if fault["kind"] == "strange":
        return f"{size} that no version of orion-hpc writes: {fault['why']:.120}"
    if fault["kind"] in ("lost", "overtaken"):
        return str(fault["why"])
    if fault["kind"] == "header":
        return f"{size}: {fault['why']}"
    return f"{size} are no transaction"


def _gap_lines(found: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield where frames were overwritten, the trials in them, and who restores them."""
    gaps = found["gaps"]
    for gap in gaps[:_MOST_SHOWN]:
        size = gap["end"] - gap["start"]
        there = f"{size:,} bytes are" if size else "nothing is"
        yield f"  offset {gap['start']:,}: {there} in the place of what was recorded"
    if gaps:
        whose = f", of {_of_trials(found['kept'])}" if found["kept"] else ""
        yield (
            f"It was written over or destroyed. The writers have kept all of it{whose}; "
            + (
                "the repair puts it back, too."
                if found["damage"]
                else f"the next job restores it, or 'orion-hpc db repair {shlex.quote(path)}'."
            )
        )


def _of_trials(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the trials with their experiments and workers."""
    text = [
        f"trial {one['trial']} of {one['experiment']}"
        + (f" (worker {one['worker']})" if one["worker"] else "")
        for one in trials[:_MOST_SHOWN]
    ]
    return ", ".join([*text, "…"] if len(trials) > _MOST_SHOWN else text)


def _experiments(experiments: Sequence[Mapping[str, Any]]) -> str:
    trials = sum(sum(one["trials"].values()) for one in experiments)
    completed = sum(one["trials"]["completed"] for one in experiments)
    return (
        f"{counted(len(experiments), 'experiment')}, {counted(trials, 'trial')} "
        f"({completed:,} completed)"
    )


def _trials(trials: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in trials.items() if count) or "none"


def _numbers(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[:_MOST_SHOWN])) + (
        ", …" if len(numbers) > _MOST_SHOWN else ""
    )
    return f"trial {text}" if len(numbers) == 1 else f"trials {text}"
