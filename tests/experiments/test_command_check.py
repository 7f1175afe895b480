"""Commands that couldn't be run in a job, and those that may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.command_check import check_command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with scripts of all kinds, and a PATH with one program."""
    texts = {
        "train.py": "#!/usr/bin/env python3\n",
        "plain.sh": "echo 1\n",
        "windows.sh": "#!/bin/sh\r\necho 1\n",
        "env.sh": "#!/usr/bin/env nothing-here\n",
        "options.sh": "#!/usr/bin/env -S nothing here\n",
        "empty": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "no-x.sh").write_text("#!/bin/sh\n")
    (tmp_path / "program").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "program").chmod(0o755)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "bash", "node", "srun", "python3"):
        (programs / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(programs))
    return tmp_path


@pytest.mark.parametrize(
    "argv",
    [
        ["python", "train.py", "--lr", "{lr}"],
        ["python", "-u", "train.py", "no.py"],
        ["python", "-W", "ignore", "no.py"],  # in doubt
        ["python", "-m", "train"],
        ["python", "-c", "print(1)", "no.py"],
        ["python", "{kind}.py"],
        ["python", "."],
        ["{program}", "no.py"],
        ["bash", "train"],  # perhaps on the PATH
        ["node", "train"],
        ["srun", "python", "no.py"],  # perhaps in a container
        ["./train.py"],
        ["./options.sh"],
        ["./program"],
        ["/bin/sh", "plain.sh"],
    ],
    ids=" ".join,
)
def test_commands_that_may_run(folder: Path, argv: list[str]) -> None:
    """What isn't known to fail is accepted."""
    check_command(argv, str(folder), same_path=True)


@pytest.mark.parametrize(
    ("argv", "told", "hint"),
    [
        (["pythno", "train.py"], "no program 'pythno' on the PATH (did you mean python?)", "[env,"),
        (["train.py"], "no program 'train.py' on the PATH", "Write ./train.py"),
        (["./no"], "there is no program './no' in ", "relative to the configuration"),
        (["/no/python", "train.py"], "there is no program '/no/python'", "[env, /no/python, …]"),
        (["./bin"], "isn't a file", ""),
        (["./no-x.sh"], "/no-x.sh isn't executable", "chmod +x "),
        (["./plain.sh"], "/plain.sh doesn't begin with '#!'", "interpreter first"),
        (["./empty"], "/empty doesn't begin with '#!'", "interpreter first"),
        (["./windows.sh"], r"the interpreter in its first line, '/bin/sh\r', isn't", "Windows"),
        (["./env.sh"], "the interpreter in its first line, 'nothing-here', isn't there", "line"),
        (["python", "no.py"], "there is no script 'no.py' for the command in ", "relative to"),
        (["python3", "-u", "no.py"], "there is no script 'no.py'", "relative to"),
        (["python", "no"], "there is no script 'no'", "relative to"),
        (["bash", "no.sh"], "there is no script 'no.sh'", "relative to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_that_cannot_run(folder: Path, argv: list[str], told: str, hint: str) -> None:
    """Each of them would break the first trials, after the jobs' time in the queue."""
    with pytest.raises(ConfigurationError) as caught:
        check_command(argv, str(folder), same_path=True)
    assert told in caught.value.message
    assert hint in caught.value.hint


def test_what_a_template_may_bring_is_left_to_it(folder: Path) -> None:
    """Programs of modules are on the nodes' PATH only; files are looked at all the same."""
    check_command(["julia", "{x}"], str(folder), same_path=False)
    check_command(["./env.sh"], str(folder), same_path=False)
    for argv in (["./no-x.sh"], ["julia", "no.jl"]):
        with pytest.raises(ConfigurationError):
            check_command(argv, str(folder), same_path=False)
