"""Several objectives and a constraint, from the function of the README to its front."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.command import orion_hpc, project, status_of

pytestmark = pytest.mark.usefixtures("no_slurm")

ROOT = Path(__file__).parents[2]
CONFIG = """\
name: quick
function: quick:main
space: {width: "randint(1, 101)", depth: "randint(1, 9)"}
algorithm: {random: {seed: 1}}
max_trials: 60
worker: {executor: single, heartbeat: 5, idle_timeout: 30}
"""


def test_the_readme_example_ends_with_a_front(tmp_path):
    """What ``submit`` and ``status`` tell is what the library finds, and it is feasible."""
    text = (ROOT / "README.md").read_text()
    section = text.split("\n### Several objectives, and constraints\n")[1].split("\n### ")[0]
    function, program = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    config = project(tmp_path / "p", CONFIG, quick=function)
    done = orion_hpc("submit", "--array", "1", config)
    assert done.returncode == 0, done.stderr
    status = status_of(config)
    assert (status["objectives"], status["incomparable"]) == (2, 0)
    best = status["best"]
    assert best["feasible"]
    assert best["params"]["width"] * best["params"]["depth"] <= 400
    note = f"2 objectives, {status['front']} trials on the Pareto front."
    assert note in done.stdout
    assert (
        f"quick v1: {note}\nquick v1: best by the first objective is trial {best['number']}: "
        in (orion_hpc("status", config).stdout)
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=config.parent, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines = ran.stdout.splitlines()
    assert len(lines) == status["front"] > 1
    assert lines[0].startswith(f"{best['number']} ")
