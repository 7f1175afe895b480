"""Slurm's commands as small fakes on PATH, for tests of what is asked of Slurm and how.

The fakes are real programs, so that the real command line is exercised. Each appends its call to
a file of JSON lines and answers like the real one, unless told otherwise. They run no job: for that
there is `tests.rigs.slurm`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "srun", "sacct", "sinfo")
#: What takes jobs or tells of them; a machine without these is a machine without Slurm.
_SLURM_COMMAND = re.compile("s(batch|run|alloc|queue|cancel|control|acct|acctmgr|info|stat|attach)")
_FIRST_JOB = 1234


@dataclass(frozen=True)
class Call:
    """One call of a fake: its arguments without the program, and the text that was submitted."""

    argv: list[str]
    script: str | None


class FakeSlurm:
    """Fakes of Slurm's commands in `directory`, and what a test says to them.

    Put `bin` first on PATH to use them.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir(parents=True)
        for name in COMMANDS:
            program = self.bin / name
            program.write_text(
                f"#!{sys.executable}\n"
                "import pathlib, runpy, sys\n"
                f"main = runpy.run_path({__file__!r})['main']\n"
                f"sys.exit(main(pathlib.Path({str(directory)!r}), {name!r}, sys.argv[1:]))\n"
            )
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def calls(self, name: str) -> list[Call]:
        """The calls of one command so far, in order."""
        path = self.directory / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        return [Call(call["argv"], call["script"]) for call in found if call["name"] == name]

    def answer(self, name: str, stdout: str) -> None:
        """From now on the command prints this and succeeds."""
        self._tell(name, stdout=stdout)

    def fail(self, name: str, stderr: str, code: int = 1) -> None:
        """From now on the command prints this to standard error and ends with `code`."""
        self._tell(name, stderr=stderr, code=code)

    def restore(self, name: str) -> None:
        """From now on the command answers as it did at first."""
        (self.directory / f"{name}.json").unlink(missing_ok=True)

    def _tell(self, name: str, **orders: str | int) -> None:
        if name not in COMMANDS:
            raise ValueError(f"no fake of {name!r}; there are {', '.join(COMMANDS)}")
        # Replaced at once, for a fake may be running.
        new = self.directory / f"{name}.json.new"
        new.write_text(json.dumps(orders))
        new.replace(self.directory / f"{name}.json")


def path_without_slurm(directory: Path, path: str | None = None) -> str:
    """A PATH that holds all programs of `path` (default: of now) except Slurm's.

    A directory can't simply be left out, since /usr/bin holds Slurm beside everything else: those
    that hold some of Slurm are replaced by directories of links to the rest.
    """
    kept = []
    for number, entry in enumerate((path or os.environ["PATH"]).split(os.pathsep)):
        names = os.listdir(entry) if os.path.isdir(entry) else []
        if not any(_SLURM_COMMAND.fullmatch(name) for name in names):
            kept.append(entry)
            continue
        farm = directory / str(number)
        farm.mkdir(parents=True)
        for name in names:
            if not _SLURM_COMMAND.fullmatch(name):
                (farm / name).symlink_to(os.path.join(entry, name))
        kept.append(str(farm))
    return os.pathsep.join(kept)


def _submitted_script(argv: list[str]) -> str | None:
    """What `sbatch argv` submits: a file named in `argv`, the text of --wrap, or standard input."""
    for number, word in enumerate(argv):
        if word.startswith("--wrap="):
            return word.removeprefix("--wrap=")
        if word == "--wrap":
            return argv[number + 1]
        if not word.startswith("-") and os.path.isfile(word):
            return Path(word).read_text()
    return None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()


def _default_answer(name: str, argv: list[str], submissions: int) -> tuple[str, str, int]:
    """Standard output, standard error and exit code of the real command on an idle cluster."""
    if name == "sbatch":
        job = _FIRST_JOB + submissions
        return (f"{job}\n" if "--parsable" in argv else f"Submitted batch job {job}\n"), "", 0
    if name == "sacct":
        # As on the many sites without slurmdbd.
        return "", "Slurm accounting storage is disabled\n", 1
    return "", "", 0


def main(directory: Path, name: str, argv: list[str]) -> int:
    """Be the fake `name`: note the call, then answer."""
    script = _submitted_script(argv) if name == "sbatch" else None
    with open(directory / "calls.jsonl", "a+", encoding="utf-8") as calls:
        fcntl.flock(calls, fcntl.LOCK_EX)  # each submission gets a job ID of its own
        calls.seek(0)
        submissions = sum(json.loads(line)["name"] == "sbatch" for line in calls)
        calls.write(json.dumps({"name": name, "argv": argv, "script": script}) + "\n")
    stdout, stderr, code = _default_answer(name, argv, submissions)
    orders = directory / f"{name}.json"
    if orders.exists():
        told = json.loads(orders.read_text())
        stdout, stderr, code = told.get("stdout", ""), told.get("stderr", ""), told.get("code", 0)
    for stream, text in ((sys.stdout, stdout), (sys.stderr, stderr)):
        stream.write(text if text.endswith("\n") or not text else text + "\n")
    return code
