"""What the README shows of Python runs as it stands, and prints nothing that isn't the user's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(heading: str) -> list[str]:
    """Return the pieces of Python under a heading."""
    text = (ROOT / "README.md").read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_the_section_on_python_gives_the_best_trial(tmp_path):
    """In the order in which it is read; submitting to Slurm has its own tests."""
    first, shared, loop, several, submit = blocks("From Python")
    assert "submit" in submit
    (tmp_path / "program.py").write_text("\n".join((first, shared, loop, several)))
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    objective, params = done.stdout.split(" ", 1)
    assert float(objective) < 2
    assert "'lr'" in params
    assert (tmp_path / "db.pkl").exists()


def test_the_section_on_the_database_reads_it(tmp_path):
    """With the experiment that the section before it makes."""
    first = blocks("From Python")[0]
    (read,) = blocks("The database")
    program = f"{first.replace('first', 'quick')}\n{read}\nprint(best.objective.type, len(table))\n"
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "objective 20"
