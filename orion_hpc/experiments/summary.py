"""Summarises an experiment as plain data, as table rows and as notes. Pure.

Rendering is the terminal's part: :mod:`orion_hpc.cli.terminal`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orion_hpc.errors import OrionHpcError
from orion_hpc.experiments.broken_trials import BrokenGroup, broken_groups
from orion_hpc.experiments.comparison import best_note, comparison, comparison_notes
from orion_hpc.experiments.failed_starts import FailedStarts
from orion_hpc.journal.heartbeat import Sign
from orion_hpc.model.event import LaunchJobs
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, RESERVED, STATUSES
from orion_hpc.slurm.tasks import Tasks
from orion_hpc.text import counted

_MOST_REASONS = 5
"""Reasons of broken trials that are shown."""

_MAX_LINES = 20
"""Lines of a traceback that are shown, from its end, where the error is."""


def experiment_summary(
    state: ExperimentState,
    signs: Mapping[str, Sign],
    tasks: Sequence[Tasks] | None = None,
    suspended: Collection[str] = (),
    failed: FailedStarts | None = None,
) -> dict[str, Any]:
    """Return one experiment's status.

    Parameters
    ----------
    signs : mapping of str to Sign
        The workers' signs of life.
    tasks : sequence of Tasks, optional
        The tasks of its job arrays that Slurm knows.
    suspended : collection of str
        The names of the workers that are known to be suspended.
    failed : FailedStarts, optional
        The last tasks, if none became a worker.

    Returns
    -------
    dict
        ``name``, ``version``, ``state`` (see :func:`condition`), ``reason`` (why it was stopped,
        else None), ``exhausted`` (see :func:`exhaustion`), ``learned`` (source -> number of its
        trials that count as history), ``half_learned`` (sources that are copied only in part),
        ``max_trials``, ``max_broken``, ``trials`` (status -> count), ``best`` (see
        :func:`best_trial`), the keys of :func:`comparison`, ``workers`` (those alive: ``id``,
        ``host``, ``job``, ``age`` of the last sign in seconds), ``suspended`` (names), ``silent``
        (names of workers that hold a trial but give no sign of life), ``jobs`` (``launcher``,
        ``ids``, ``folder``, ``time``; of their code ``commit``, ``digest``, ``snapshot``),
        ``broken`` (the last three: ``number``, ``cause``, ``message``), ``reasons`` (all of them in
        groups: ``cause``, ``message``, ``count``, ``trials``), ``queue`` (numbers of
        Slurm's tasks: ``running``, and ``waiting`` by Slurm's reason; None if unknown),
        ``failed_starts`` (``tasks``, ``job``, ``path``, ``lines``: see ``FailedStarts``; or None).
    """
    alive = [sign for name, sign in signs.items() if not sign.silent or name in suspended]
    return {
        "name": state.name,
        "version": state.version,
        "state": condition(state, any(sign.worker not in suspended for sign in alive)),
        "reason": state.stopped,
        "exhausted": exhaustion(state),
        "learned": {source: count for source, (_, count) in state.sources.items()},
        "half_learned": sorted(state.half_learned),
        "max_trials": state.max_trials,
        "max_broken": state.max_broken,
        "trials": {status: state.count(status) for status in STATUSES},
        "best": best_trial(state),
        **comparison(state),
        "workers": [_worker(sign) for sign in sorted(alive, key=lambda sign: sign.worker)],
        "suspended": sorted(name for name in suspended if name in signs),
        "silent": _silent(state, signs, suspended),
        "jobs": [_jobs(jobs) for jobs in state.jobs],
        **_broken(state),
        "queue": None if tasks is None else _queue(tasks),
        "failed_starts": None if failed is None else asdict(failed),
    }


def _broken(state: ExperimentState) -> dict[str, Any]:
    trials = state.having(BROKEN)
    return {
        "broken": [
            {"number": one.number, "cause": one.cause, "message": one.message}
            for one in trials[-3:]
        ],
        "reasons": [one.to_dict() for one in broken_groups(trials)],
    }


def _worker(sign: Sign) -> dict[str, Any]:
    return {
        "id": sign.worker,
        "host": sign.about.get("host"),
        "job": sign.about.get("job"),
        "age": round(max(0.0, sign.age), 1),
    }


def _silent(
    state: ExperimentState, signs: Mapping[str, Sign], suspended: Collection[str]
) -> list[str]:
    """Return the workers that hold a trial and give no sign of life; without suspended ones."""
    holders = {trial.worker for trial in state.having(RESERVED)} - set(suspended)
    return sorted(name for name in holders if name and (name not in signs or signs[name].silent))


def _jobs(jobs: LaunchJobs) -> dict[str, Any]:
    return {
        "launcher": jobs.launcher,
        "ids": list(jobs.job_ids),
        "folder": jobs.folder,
        "time": jobs.time,
        "commit": jobs.commit,
        "digest": jobs.digest,
        "snapshot": jobs.snapshot,
    }


def _queue(tasks: Sequence[Tasks]) -> dict[str, Any]:
    waiting: dict[str, int] = {}
    for one in tasks:
        if one.phase == "waits":
            waiting[one.reason] = waiting.get(one.reason, 0) + one.count
    return {
        "running": sum(one.count for one in tasks if one.phase == "runs"),
        "waiting": waiting,
    }


def condition(state: ExperimentState, worked_on: bool) -> str:
    """Return the condition: ``done``, ``broken``, ``stopped``, ``running`` or ``waiting``.

    ``worked_on``: whether a worker runs that isn't suspended.
    """
    if state.is_done:
        return "done"
    if state.is_broken:
        return "broken"
    if state.stopped is not None:
        return "stopped"
    return "running" if worked_on else "waiting"


def exhaustion(state: ExperimentState) -> str | None:
    """Return why the algorithm suggests no further trial; None if it isn't exhausted."""
    if not state.exhausted:
        return None
    spent = "the algorithm has no further point"
    try:
        space = Space.parse(state.configuration.get("space", {}))
    except OrionHpcError:  # another program or version wrote it, or there is none
        return spent
    tried = {
        str([value for name, value in trial.params.items() if name != space.fidelity])
        for trial in state.trials
    }
    if len(tried) >= space.cardinality:
        return "every point of the space was tried"
    return spent


def best_trial(state: ExperimentState) -> dict[str, Any] | None:
    """Return the best trial as plain data; None if no trial is completed.

    Its keys are ``number``, ``id``, ``objective``, ``params``, ``objectives`` (all values) and
    ``feasible``. See :attr:`ExperimentState.best`.
    """
    if state.best is None:
        return None
    return {
        "number": state.best.number,
        "id": state.best.id,
        "objective": state.best.objective,
        "params": state.best.params,
        "objectives": list(state.best.objectives),
        "feasible": state.best.feasible,
    }


def shown(best: Mapping[str, Any]) -> str:
    """Return the objective of a :func:`best_trial` as text, marked if the trial is infeasible."""
    return f"{best['objective']:.6g}" + ("" if best["feasible"] else " (infeasible)")


STATUS_COLUMNS = (
    "experiment",
    "state",
    "completed",
    "running",
    "waiting",
    "broken",
    "best",
    "workers",
)
"""Headings of :func:`status_rows`."""


def status_rows(summaries: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row for each experiment, as texts under :data:`STATUS_COLUMNS`."""
    rows: list[tuple[str, ...]] = []
    for one in summaries:
        trials, best = one["trials"], one["best"]
        budget = f"/{one['max_trials']}" if one["max_trials"] is not None else ""
        workers = str(len(one["workers"]))
        if one["suspended"]:
            workers += f" ({len(one['suspended'])} suspended)"
        rows.append(
            (
                f"{one['name']} v{one['version']}",
                one["state"],
                f"{trials['completed']}{budget}",
                str(trials["reserved"]),
                str(trials["interrupted"] + trials["suspended"] + trials["new"]),
                str(trials["broken"]),
                "-" if best is None else shown(best),
                workers,
            )
        )
    return rows


def status_notes(summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the notes below the table: broken trials, silent workers, next steps, the best.

    ``CONFIG`` in a command stands for the arguments with which the user named the experiment.
    """
    notes: list[str] = []
    for one in summaries:
        title = f"{one['name']} v{one['version']}"
        notes.extend(broken_notes(title, one["reasons"]))
        if one["state"] == "broken":
            count = one["trials"]["broken"]
            notes.extend(_last_traceback(one["broken"]))
            notes.append(
                f"{title}: stopped after {counted(count, 'broken trial')}; 'orion-hpc logs CONFIG "
                "--failed' shows their tracebacks. Fix the cause; then 'orion-hpc submit CONFIG "
                f"--max-broken {one['max_broken'] + 3}' continues."
            )
        if one["state"] == "stopped":
            notes.append(
                f"{title}: stopped: {one['reason']}. 'orion-hpc resume CONFIG' continues it."
            )
        for source, count in one["learned"].items():
            notes.append(f"{title}: learned from {count} trials of {source}.")
        for source in one["half_learned"]:
            notes.append(
                f"{title}: learned only a part of {source}; the same submit again continues."
            )
        if one["exhausted"] and one["state"] == "done":
            notes.append(f"{title}: {one['exhausted']}.")
        if one["suspended"]:
            notes.append(f"{title}: {_suspension_note(one['suspended'])}")
        for name in one["silent"]:
            notes.append(f"{title}: worker {name} holds a trial and gives no sign of life.")
        notes.extend(_idle_notes(title, one))
        notes.extend(f"{title}: {note}" for note in comparison_notes(one))
        if one["best"] is not None:
            notes.append(f"{title}: {best_note(one['best'])}")
    return notes


def _idle_notes(title: str, one: Mapping[str, Any]) -> list[str]:
    """Return why no worker runs, and what continues the experiment."""
    if one["queue"] is not None and (queue_note := _queue_note(one["queue"])):
        return [f"{title}: {queue_note}."]
    if one["suspended"]:
        return []  # these workers run again when Slurm resumes them
    if one["state"] != "waiting" or one["trials"]["reserved"]:
        return []
    failed = one["failed_starts"]
    if failed and failed["lines"]:
        return [
            f"{title}: {FailedStarts(**failed).text}",
            f"{title}: fix the cause; then 'orion-hpc resume CONFIG' continues.",
        ]
    if one["queue"]:
        return [
            f"{title}: no worker is running and no task is in the queue; 'orion-hpc resume "
            "CONFIG' continues."
        ]
    queued = [job for jobs in one["jobs"] if jobs["launcher"] == "slurm" for job in jobs["ids"]]
    if not queued:
        return [f"{title}: no worker is running; 'orion-hpc resume CONFIG' continues."]
    return [
        f"{title}: no worker is running. Its jobs may still be in the queue: "
        f"squeue -j {','.join(queued[-3:])}; if they aren't, 'orion-hpc resume CONFIG' continues."
    ]


def broken_notes(title: str, reasons: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each of the first reasons for which trials broke, with its advice."""
    for one in reasons[:_MOST_REASONS]:
        group = BrokenGroup(one["cause"], one["message"], tuple(one["trials"]))
        yield f"{title}: {group.trials} broke ({group.cause}): {group.reason}"
        if group.advice:
            yield f"  {group.advice}"
    if (more := len(reasons) - _MOST_REASONS) > 0:
        others = counted(more, "other reason")
        yield f"{title}: {others}: 'orion-hpc logs CONFIG --failed' shows them."


def _suspension_note(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"worker {names[0]} is suspended: its processes are stopped until it is resumed."
    return (
        f"{len(names)} workers are suspended: their processes are stopped until they are resumed."
    )


def _queue_note(queue: Mapping[str, Any]) -> str:
    """Return the note on the tasks in Slurm's queue; ``''`` if none waits."""
    waiting = queue["waiting"]
    count = sum(waiting.values())
    if not count:
        return ""
    reasons = ", ".join(
        f"{reason} {number}" if len(waiting) > 1 else reason
        for reason, number in sorted(waiting.items())
        if reason not in ("", "None")
    )
    tasks = f"{count} tasks wait" if count > 1 else "1 task waits"
    return f"{tasks} in Slurm's queue{f' ({reasons})' if reasons else ''}"


def _last_traceback(broken: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the indented lines of the last traceback; of a long one, its end."""
    for trial in reversed(list(broken)):
        lines = (trial["message"] or "").strip().splitlines()
        if "Traceback (most recent call last):" in lines:
            lines = lines[lines.index("Traceback (most recent call last):") :]
            if len(lines) > _MAX_LINES:
                lines = [lines[0], "  …", *lines[2 - _MAX_LINES :]]
            return [f"  {line}" for line in lines]
    return []
