"""Files that Slurm couldn't open for a job: it would fail at once, without a log."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest

from orion_hpc.errors import ConfigurationError
from orion_hpc.jobs.job_files import check_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of sbatch, with folders for logs."""
    for name in ("logs", "50%", f"by-{getpass.getuser()}", "quick"):
        (tmp_path / name).mkdir()
    (tmp_path / "in.txt").write_text("1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(options: dict[str, str | bool], template: str = "", **environ: str) -> None:
    check_files(options, template, environ, "quick")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output": "logs/%A_%4a.out", "error": "/dev/null", "input": "in.txt"},
        {"output": "%x/%j.out"},
        {"output": "logs/%x.out", "job-name": "other"},
        {"output": "50%%/%j.out", "error": "by-%u/%j"},
        {"output": "%N/%j.out"},  # a folder for each node, perhaps
        {"error": True, "exclusive": True, "extra": "no/such"},
        {"input": "no-%a.txt"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("folder")
def test_files_that_slurm_may_open(options: dict[str, str | bool]) -> None:
    """What isn't known to fail is accepted."""
    checked(options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"output": "no/%j.out"}, "the jobs' --output is '{}/no/%j.out', but there is no folder"),
        ({"outp": "no/%j.out"}, "the jobs' --output is '{}/no/%j.out', but there is no folder"),
        (
            {"error": "no/%j.err"},
            "the jobs' --error is '{}/no/%j.err', but there is no folder {}/no",
        ),
        ({"er": "no/%j.err"}, "the jobs' --error is '{}/no/%j.err', but there is no folder"),
        ({"output": "%x/%j", "job-name": "no"}, "no/%j', but there is no folder {}/no"),
        ({"output": "logs/%j/out"}, "Slurm doesn't create the folder of a job's number"),
        ({"output": "logs"}, "'{}/logs', which is a folder"),
        ({"output": "in.txt/%j"}, "there is no folder {}/in.txt"),
        ({"input": "no.txt"}, "the jobs' --input is '{}/no.txt', which can't be read"),
    ],
    ids=str,
)
def test_files_that_slurm_cannot_open(
    folder: Path, options: dict[str, str | bool], told: str
) -> None:
    """Each is named with its whole path."""
    with pytest.raises(ConfigurationError) as caught:
        checked(options)
    assert told.format(folder, folder) in caught.value.message


@pytest.mark.parametrize(
    "line",
    [
        "--error=no/%j", "--error no/%j", "--err=no/%j", "-e no/%j", "-eno/%j", "-o no/%j",
        "--exclusive -e no/%j # note", "--chdir=logs",
    ],
)  # fmt: skip
def test_lines_of_a_template_are_read(folder: Path, line: str) -> None:
    """In each of sbatch's spellings; paths are relative to its working directory."""
    with pytest.raises(ConfigurationError, match=r"no folder|isn't a directory"):
        checked({"output": "quick/%j"}, f"#!/bin/bash\n#SBATCH {line}\nsrun true\n")
    os.makedirs(folder / "logs" / "quick")
    os.makedirs(folder / "no")
    checked({"output": "quick/%j"}, f"#!/bin/bash\n#SBATCH {line}\nsrun true\n")
    checked({}, "#!/bin/bash\n#SBATCH --error={{ error }}\necho -e x/y\n# -e x/y\n")


@pytest.mark.usefixtures("folder")
def test_variables_of_sbatch_are_read() -> None:
    """SBATCH_OUTPUT is hidden from it."""
    with pytest.raises(ConfigurationError, match=r"--error is '.*/no/x'"):
        checked({}, SBATCH_ERROR="no/x")
    checked({}, SBATCH_ERROR="logs/x", SBATCH_OUTPUT="no/x")
