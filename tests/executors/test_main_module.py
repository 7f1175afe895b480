"""Programs that start processes which would start the program again."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]

BODY = """\
experiment = build_experiment("e", space={"x": "uniform(0, 1)"}, max_trials=3, debug=True)
with experiment.tmp_executor(EXECUTOR, n_workers=2):
    print(experiment.workon(lambda x: x))
"""


def run(folder: Path, executor: str, guard: str) -> subprocess.CompletedProcess[str]:
    """Run a program that searches with an executor, behind a guard or none."""
    indent = "    " if guard else ""
    text = f"from orion_hpc.client import build_experiment\nEXECUTOR = {executor!r}\n{guard}"
    text += "".join(f"{indent}{line}\n" for line in BODY.splitlines())
    path = folder / "program.py"
    path.write_text(text)
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_dask_without_a_guard_is_one_message_and_no_process(tmp_path):
    """It names the line, and what to write."""
    before = set(psutil.pids())
    done = run(tmp_path, "dask", "")
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "program.py, which would start them again in line 5" in done.stderr
    assert "if __name__ == '__main__':" in done.stderr
    assert not [
        pid
        for pid in set(psutil.pids()) - before
        if str(tmp_path / "program.py") in " ".join(command_of(pid))
    ]


@pytest.mark.parametrize("executor", ["dask", "joblib"])
def test_behind_a_guard_both_run(tmp_path, executor):
    """With nothing on standard error: no warning that isn't the user's, also where the port of
    dask's dashboard is taken, as by another task of the array on the same node."""
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # it is taken already
            other.bind(("", 8787))
            other.listen()
        done = run(tmp_path, executor, 'if __name__ == "__main__":\n')
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def test_joblib_needs_no_guard(tmp_path):
    """Its processes don't import the program."""
    done = run(tmp_path, "joblib", "")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def test_what_is_typed_in_needs_none(tmp_path):
    """There is no file that could be imported: a notebook, ``python -c``."""
    text = 'from orion_hpc.client import build_experiment\nEXECUTOR = "dask"\n' + BODY
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def command_of(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []
