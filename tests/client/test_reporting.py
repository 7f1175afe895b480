"""Results reported by a script's own calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orion_hpc.client import build_experiment, interrupt_trial
from orion_hpc.errors import TrialInterrupted
from tests.rigs.command import orion_hpc, project

ROOT = Path(__file__).parents[2]

CONFIG = f"""\
name: quick
command: ["{sys.executable}", "script.py", "{{x}}"]
space: {{x: "uniform(0, 1)"}}
max_trials: 3
"""


def test_a_script_reports_its_objective(tmp_path):
    """With the line that Oríon's users write, the import changed."""
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from orion_hpc.client import report_results\n"
        "value = float(sys.argv[1])\n"
        "report_results([\n"
        "    dict(name='loss', type='objective', value=value),\n"
        "    dict(name='twice', type='statistic', value=2 * value),\n"
        "])\n"
        "print('this is no result')\n"
    )
    config = project(tmp_path / "p", CONFIG, script=script)
    done = orion_hpc("submit", "--executor", "debug", config)
    assert done.returncode == 0, done.stderr
    for trial in build_experiment("quick", storage=tmp_path / "p" / "db.pkl").fetch_trials():
        assert trial.objective.value == trial.params["x"]
        assert trial.statistics[0].value == 2 * trial.params["x"]


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        ("report_objective(0.5)", 0.5),
        ("report_objective(2, name='loss')", 2),
        ("report_bad_trial()", 1e10),
    ],
)
def test_outside_of_a_trial_it_is_printed(call, printed):
    """So a script can be tried by hand."""
    done = python(f"from orion_hpc.client import *\n{call}")
    (result,) = json.loads(done.stdout)
    assert (result["type"], result["value"]) == ("objective", printed)


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        ("report_objective(1); report_objective(2)", "reported its results already"),
        ("report_objective('good')", "InvalidResult"),
        ("report_results([])", "InvalidResult"),
    ],
)
def test_what_is_wrong_is_an_error(calls, told):
    """And ends the script, unless it is caught."""
    done = python(f"from orion_hpc.client import *\n{calls}")
    assert done.returncode == 1
    assert told in done.stderr


def python(text: str) -> subprocess.CompletedProcess[str]:
    """Run a program."""
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False,
        cwd=ROOT,
    )  # fmt: skip


def test_a_script_interrupts_its_trial(tmp_path):
    """It runs again in the same directory; in a function it is an exception."""
    script = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from orion_hpc.client import interrupt_trial, report_objective\n"
        "if os.environ['ORION_HPC_ATTEMPT'] == '1':\n"
        "    interrupt_trial()\n"
        "report_objective(float(sys.argv[1]))\n"
    )
    config = project(tmp_path / "p", CONFIG, script=script)
    done = orion_hpc("submit", "--executor", "debug", config)
    assert done.returncode == 0, done.stderr
    trials = build_experiment("quick", storage=config.parent / "db.pkl").fetch_trials()
    assert [(trial.status, trial.attempt) for trial in trials] == [("completed", 2)] * 3
    with pytest.raises(TrialInterrupted):
        interrupt_trial()
