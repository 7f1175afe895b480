"""Which logs belong to whom, their last lines, and what is added to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.launch_logs import job_logs
from orion_hpc.jobs.logs import Logs, TrialOutput, check_worker, worker_logs
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState


def experiment(*patterns: Path) -> ExperimentState:
    """Return an experiment whose jobs log there."""
    state = ExperimentState(1, "quick", 1, {}, 0.0, 1, 3)
    for pattern in patterns:
        state.apply(ev.LaunchJobs("slurm", ("12",), str(pattern), 0.0))
    return state


def made(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{name}\n")
    return folder


def names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_tasks_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Launch by launch, task 2 before task 10; a folder may have brackets in its name."""
    first = made(tmp_path / "a[1]", *(f"12_{n}_0_log.out" for n in (10, 2, 0)), "12_0_0_log.err")
    second = made(tmp_path / "b", "13_0.out")
    found = job_logs(experiment(first / "12_*_0_log.out", second / "13_*.out"))
    assert names(found) == ["12_0_0_log.out", "12_2_0_log.out", "12_10_0_log.out", "13_0.out"]


def test_a_users_own_pattern_is_understood(tmp_path: Path) -> None:
    folder = made(tmp_path, "log-12_0.txt", "log-12_1.txt", "other.txt")
    found = job_logs(experiment(folder / "log-%A_%4a.txt"))
    assert names(found) == ["log-12_0.txt", "log-12_1.txt"]


@pytest.mark.parametrize(
    ("worker", "logs"),
    [
        ("12_1", ["12_1_0_log.out"]),
        ("node7:99:abcdef.5:12_1.3", ["12_1_0_log.out"]),
        ("12", ["12_0_0_log.out", "12_1_0_log.out", "12_11_0_log.out"]),
        ("local-77", ["77_0_log.out"]),
        ("here:99:abcdef.5:local-77", ["77_0_log.out"]),
        ("2_1", []),
        ("here:99:abcdef.5", []),
        ("", []),
        (".*", []),
    ],
)
def test_a_workers_log_is_its_jobs(tmp_path: Path, worker: str, logs: list[str]) -> None:
    folder = made(tmp_path, *(f"12_{n}_0_log.out" for n in (0, 1, 11)), "77_0_log.out")
    state = experiment(folder / "*.out")
    assert names(worker_logs(state, worker)) == logs
    if not logs:
        with pytest.raises(ConfigurationError, match="there is no log of a worker"):
            check_worker(state, worker)


def test_what_is_gone_is_left_out(tmp_path: Path) -> None:
    """A log that was removed, a launcher that logs to the terminal."""
    state = experiment(tmp_path / "gone" / "*.out", Path("this terminal"))
    assert job_logs(state) == []
    assert list(Logs(None).look([str(tmp_path / "gone.out")])) == []


@given(
    text=st.binary(max_size=40).map(lambda data: data.replace(b"x", b"\n"))
    | st.text("a\n").map(str.encode),
    lines=st.integers(1, 5),
    block=st.integers(1, 9),
)
def test_the_last_lines_are_those_of_tail(tmp_path_factory, text, lines, block) -> None:
    """In whatever pieces the file is read."""
    path = tmp_path_factory.mktemp("logs") / "log"
    path.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orion_hpc.experiments.launch_logs._BLOCK", block)
        shown = b"".join(piece.content for piece in Logs(lines).look([str(path)]))
    split = text.split(b"\n")
    whole = [line + b"\n" for line in split[:-1]] + ([split[-1]] if split[-1] else [])
    assert shown == b"".join(whole[-lines:])


def test_only_what_is_new_is_shown(tmp_path: Path) -> None:
    """With a title where it is another log than before; one that was begun anew from its start."""
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    logs = Logs(1)
    Path(a).write_text("1\n2\n")
    looks = [[(piece.title, piece.content) for piece in logs.look([a, b])]]
    for path, mode, text in ((a, "a", "3\n4\n"), (b, "w", "x"), (a, "a", "5\n"), (a, "w", "new\n")):
        with open(path, mode) as file:
            file.write(text)
        looks.append([(piece.title, piece.content) for piece in logs.look([a, b])])
    assert looks == [
        [(a, b"2\n")],
        [("", b"3\n4\n")],
        [(b, b"x")],
        [(a, b"5\n")],
        [("", b"new\n")],
    ]
    assert list(logs.look([a, b])) == []


def test_a_worker_whose_log_names_no_job_has_its_launchs(tmp_path: Path) -> None:
    """A pattern of the user's, such as one log for all; but a task that hasn't begun has none."""
    made(tmp_path, "all.log", "12_0.out")
    assert names(worker_logs(experiment(tmp_path / "all.log"), "12_1")) == ["all.log"]
    assert worker_logs(experiment(tmp_path / "all.log"), "13_1") == []
    assert worker_logs(experiment(tmp_path / "12_*.out"), "12_1") == []


RECORD = "2026-12-01 10:00:00,123 INFO "
LOG = f"""\
submitit INFO (2026-12-01 10:00:00,000) - Loading pickle: x
{RECORD}worker h:1:abcdef.5:12_0.0: 2 CPUs, 1 trials at once
{RECORD}trial 3: attempt 1 starts: {{'x': 1}}
first
{RECORD}worker h:1:abcdef.5:12_0.1: 2 CPUs, 1 trials at once
after the requeue
{RECORD}trial 3: attempt 2 starts: {{'x': 1}}
second
{RECORD}the database is slow
half a line{RECORD}trial 3: attempt 2 broken: ValueError: no
2026-12-01 10:00:00,123 ERROR trial 3: Traceback (most recent call last):
ValueError: no
{RECORD}trial 33: attempt 1 starts: {{'x': 2}}
other
{RECORD}trial 33: attempt 1 completed: 1
"""


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_part_of_a_trial(size: int) -> None:
    """All attempts of one worker, warnings meanwhile and the traceback; in pieces of any size."""
    output = TrialOutput(3)
    content = LOG.encode()
    shown = b"".join(
        output(content[begin : begin + size]) for begin in range(0, len(content), size)
    )
    lines = LOG.splitlines(keepends=True)
    assert shown.decode() == "".join([*lines[2:4], *lines[6:12]])
    assert not output.is_mixed


def test_the_part_of_a_trial_that_was_not_alone() -> None:
    """Two at once: both parts are the same lines, and that is known."""
    lines = [
        f"{RECORD}trial 0: attempt 1 starts: {{}}\n", f"{RECORD}trial 1: attempt 1 starts: {{}}\n",
        "whose?\n", f"{RECORD}trial 0: attempt 1 completed: 1\n",
        f"{RECORD}trial 1: attempt 1 completed: 1\n",
        f"{RECORD}trial 2: attempt 1 starts: {{}}\n", f"{RECORD}trial 2: attempt 1 broken: 1\n",
    ]  # fmt: skip
    for number, first, last, mixed in ((0, 0, 4, True), (1, 1, 5, True), (2, 5, 7, False)):
        output = TrialOutput(number)
        assert output("".join(lines).encode()).decode() == "".join(lines[first:last])
        assert output.is_mixed == mixed
