"""The lines of the live view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orion_hpc.config.config_files import load_settings
from orion_hpc.experiments.failed_starts import FailedStarts
from orion_hpc.experiments.live_status import LiveStatus
from orion_hpc.experiments.live_view import (
    Line,
    live_lines,
    regret,
    remaining,
    sparkline,
)
from orion_hpc.experiments.summary import experiment_summary
from orion_hpc.journal.heartbeat import Sign
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.slurm.tasks import Tasks
from tests.rigs.database import configuration, create, work

HERE, THERE = "n1:7:aaaaaa.5:12_0.0", "n2:9:aaaaaa.5:12_1.0"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def experiment(losses: list[float | None], running: int = 0) -> ExperimentState:
    """Return an experiment whose trials took 10 s one after the other; None: it broke."""
    state = ExperimentState(1, "demo", 1, configuration(max_trials=8), 0.0, 8, 9)
    for number, loss in enumerate(losses):
        begin = 10.0 * number
        state.apply(ev.RegisterTrial(number, {"x": number / 8, "kind": "a"}, begin, None, HERE))
        if loss is None:
            state.apply(
                ev.ReleaseTrial(number, 1, "broken", "user error", "ValueError: x", begin + 10)
            )
        else:
            results = [{"name": "loss", "type": "objective", "value": loss}]
            state.apply(ev.CompleteTrial(number, 1, results, begin + 10))
    for number in range(len(losses), len(losses) + running):
        point = {"x": number / 9, "kind": "b"}
        state.apply(ev.RegisterTrial(number, point, 10.0 * len(losses), None, HERE))
    return state


def text(lines: list[Line]) -> list[str]:
    return ["".join(part for part, _ in line).rstrip() for line in lines]


def sign(worker: str, host: str) -> Sign:
    return Sign(worker, 1.0, 1.0, 60.0, {"host": host, "job": "12_0"})


def lines_of(state: ExperimentState, width: int = 80, **more: Any) -> list[str]:
    signs = {HERE: sign(HERE, "n1"), THERE: sign(THERE, "n2")}
    summary = experiment_summary(state, signs, more.get("tasks"), more.get("suspended", ()))
    return text(live_lines(state, summary, regret(state), width, 55.0))


def test_a_running_search_at_80_columns() -> None:
    """Counts, bar, the best with the way to it, causes, workers, Slurm's tasks, the last trials."""
    tasks = [
        Tasks("12", (range(2),), "RUNNING", 0, "None"),
        Tasks("12", (range(2, 5),), "PENDING", 0, "Resources"),
    ]
    assert lines_of(experiment([4.0, 2.0, None, 1.0, 3.0], running=1), tasks=tasks) == [
        "demo v1  running",
        "trials    1 reserved, 4 completed, 1 broken",
        "          ████████████████████░░░░░░░░░░░░░░░░░░░░ 50% of 8  about 48 s left",
        "best      1 (trial 3)",
        "          x=0.375, kind=a",
        "          █▃▁▁",
        "broken    1 trial (user error): ValueError: x",
        "workers   2 on 2 hosts",
        "          n1: trial 5 (5 s)",
        "          n2: no trial",
        "Slurm     2 tasks running, 3 waiting (Resources 3)",
        "last      00:00:50     4  3             x=0.5, kind=a",
        "          00:00:40     3  1             x=0.375, kind=a",
        "          00:00:30     2  broken        x=0.25, kind=a",
        "          00:00:20     1  2             x=0.125, kind=a",
        "          00:00:10     0  4             x=0, kind=a",
    ]


def test_no_line_is_wider_than_the_terminal() -> None:
    """It is shortened, and not wrapped."""
    lines = lines_of(experiment([4.0, None, 1.0], running=2), width=40)
    assert max(map(len, lines)) <= 40
    assert [line for line in lines if line.endswith("…")]


def test_before_the_first_trial_there_is_little_to_show() -> None:
    """And nothing fails."""
    state = experiment([])
    assert lines_of(state) == [
        "demo v1  running",
        "trials    none yet",
        "          ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 0% of 8",
        "workers   2 on 2 hosts",
        "          n1: no trial",
        "          n2: no trial",
    ]


def test_what_isn_t_well_is_shown() -> None:
    """Suspended workers, and those that hold a trial and are silent."""
    state = experiment([1.0], running=1)
    assert "          n1: suspended" in lines_of(state, suspended=[HERE])
    summary = experiment_summary(state, {})
    assert "          n1: holds a trial and gives no sign of life" in text(
        live_lines(state, summary, [], 80, 20.0)
    )


def test_tasks_that_could_not_start_say_why() -> None:
    """With the end of the file that has the reason."""
    failed = FailedStarts(3, "12_2", "/logs/12_2.err", ("no module named 'quick'",))
    summary = experiment_summary(experiment([]), {}, failed=failed)
    assert text(live_lines(experiment([]), summary, [], 80, 0.0))[-2:] == [
        "failed    the last 3 tasks ended before a worker started (job 12_2); /logs/12_2…",
        "            no module named 'quick'",
    ]


def test_the_rest_is_estimated_by_the_last_trials() -> None:
    """Not while there is no rate, and not if nothing ended for much longer than trials take."""
    assert remaining(experiment([1.0]), 10.0) is None
    assert remaining(experiment([1.0, 2.0]), 20.0) == 60.0
    assert remaining(experiment([1.0, 2.0]), 25.0) == 55.0
    assert remaining(experiment([1.0, 2.0]), 200.0) is None


@pytest.mark.parametrize(
    ("values", "width", "shown"),
    [
        ([], 10, ""),
        ([1.0], 10, ""),
        ([1.0, 1.0, 1.0], 10, "▁▁▁"),
        ([8.0, 7, 6, 5, 4, 3, 2, 1], 8, "█▇▆▅▄▃▂▁"),
        ([8.0, 7, 6, 5, 4, 3, 2, 1], 4, "█▆▃▁"),
    ],
)
def test_a_sparkline(values: list[float], width: int, shown: str) -> None:
    """Its last bar is the last value, whatever the width."""
    assert sparkline(values, width) == shown


def test_regret_is_the_best_so_far() -> None:
    """In the order of completion."""
    assert regret(experiment([4.0, None, 5.0, 1.0, 2.0])) == [4.0, 4.0, 1.0, 1.0]


def test_while_the_database_cannot_be_read_the_last_picture_stays(tmp_path: Path) -> None:
    """With the reason; it goes on when the database is back."""
    path = tmp_path / "db.pkl"
    work(create(path, max_trials=2), 2)
    live = LiveStatus(load_settings(None, {"storage": str(path)}, needs=()))
    try:
        before, ended = live.lines(80)
        assert (text(before)[0], ended) == ("e v1  waiting", False)
        content = path.read_bytes()
        path.write_bytes(content[:40])
        lines, ended = live.lines(80)
        assert not ended
        assert text(lines)[-1].startswith("Not up to date: ")
        assert text(lines)[1] == text(before)[1]
        path.write_bytes(content)
        work(PickledDB(str(path)), 1)
        lines, ended = live.lines(80)
        assert ended
        assert "Not up to date" not in "".join(text(lines))
    finally:
        live.close()
