"""Runs the command ``orion-hpc`` as users do, and makes small projects for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "orion_hpc")

CONFIG = """\
name: quick
function: quick:main
space: {x: "uniform(0, 1)"}
algorithm: {random: {seed: 1}}
max_trials: 8
worker: {heartbeat: 5, idle_timeout: 30}
"""

QUICK = """\
def main(x):
    return x
"""


def orion_hpc(
    *words: str | Path, cwd: Path | None = None, timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``orion-hpc WORDS`` to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False, **options,
    )  # fmt: skip


def project(folder: Path, config: str = CONFIG, **modules: str) -> Path:
    """Make a project with ``quick.py`` (or the given modules) in it; return its config's path."""
    folder.mkdir(exist_ok=True)
    for name, text in (modules or {"quick": QUICK}).items():
        (folder / f"{name}.py").write_text(text)
    path = folder / "config.yaml"
    path.write_text(config)
    return path


def status_of(config: Path, *words: str) -> dict[str, Any]:
    """Return what ``status --json`` tells of the one experiment of ``config``."""
    done = orion_hpc("status", config, "--json", *words)
    assert done.returncode == 0, done.stderr
    (experiment,) = json.loads(done.stdout)["experiments"]
    found: dict[str, Any] = experiment
    return found
