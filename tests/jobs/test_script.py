"""The sbatch scripts: what submitit and the template make of the options."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orion_hpc.errors import ConfigurationError, LaunchError
from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.jobs.environment import for_sbatch
from orion_hpc.jobs.submitit_launcher import slurm_script
from orion_hpc.jobs.template import TemplateLauncher, read_template, render, shipped_template

PYTHON = "python -P" if sys.version_info >= (3, 11) else "python"
"""What a job is started by: a Python that doesn't search the working directory."""


def request_of(
    tasks: int = 10, throttle: int | None = None, **options: str | bool
) -> LaunchRequest:
    """Return a request with these options of sbatch."""
    return LaunchRequest(
        function=print,
        argument="x",
        command=("python", "-m", "orion_hpc", "worker", "--name", "it's"),
        tasks=tasks,
        folder="/shared/jobs",
        title="svm",
        options={key.replace("_", "-"): value for key, value in options.items()},
        throttle=throttle,
    )


def directives(script: str) -> set[str]:
    """Return the #SBATCH lines' options."""
    return {line[8:] for line in script.splitlines() if line.startswith("#SBATCH ")}


def test_options_reach_sbatch_as_the_user_wrote_them():
    """Each option becomes its directive, in the user's own form."""
    script = slurm_script(
        request_of(
            cpus_per_task="5", time="1-00:30:00", mem="2G", partition="gpu", account="def-x",
            qos="low", gres="gpu:1", constraint="a100|v100", nice="100", exclusive=True,
        )
    )  # fmt: skip
    assert {
        "--array=0-9%10", "--cpus-per-task=5", "--time=1-00:30:00", "--mem=2G", "--partition=gpu",
        "--account=def-x", "--qos=low", "--gres=gpu:1", "--constraint='a100|v100'", "--nice=100",
        "--exclusive", "--job-name=svm",
    } <= directives(script)  # fmt: skip


def test_nothing_is_asked_for_that_the_user_did_not_say():
    """No time limit of five minutes, no accounting key: the site's defaults hold."""
    names = {line.partition("=")[0] for line in directives(slurm_script(request_of()))}
    assert names.isdisjoint({"--time", "--wckey", "--mem", "--cpus-per-task", "--partition"})


def test_the_throttle_is_slurms():
    """``--array 10%4`` lets four tasks run at once."""
    assert "--array=0-9%4" in directives(slurm_script(request_of(throttle=4)))


def test_the_step_gets_the_cpus_and_the_output_of_the_job():
    """srun inherits neither: without the first every trial would run on one CPU."""
    script = slurm_script(request_of(cpus_per_task="5", output="/logs/%A_%a.txt"))
    (step,) = (line for line in script.splitlines() if line.startswith("srun "))
    words = step.split()
    assert words[words.index("--cpus-per-task") + 1] == "5"
    assert step.rfind("--output /logs/%A_%a.txt") > step.find("--output")


@pytest.mark.parametrize("options", [{}, {"export": "NONE"}, {"export": "MYVAR"}])
def test_the_step_gets_the_variables_of_the_script_whatever_is_exported(options):
    """srun would take ``--export`` of sbatch, and drop what the script has set for the worker."""
    for script in (
        slurm_script(request_of(**options)),
        render(shipped_template(), request_of(**options)),
    ):
        (step,) = (line for line in script.splitlines() if line.startswith("srun "))
        assert "--export=ALL" in step.split()
        for name, value in options.items():
            assert f"--{name}={value}" in directives(script)


def test_one_task_is_a_job_and_no_array():
    """An array of one would be called 12_0 by Slurm and 12 by its files."""
    assert "--array" not in slurm_script(request_of(tasks=1))


def test_the_template_gives_a_script_that_bash_accepts_with_every_option():
    """The shipped template works as it is; odd words arrive whole."""
    script = render(
        shipped_template(),
        request_of(throttle=2, cpus_per_task="5", comment="two words", hold=True),
    )
    assert {
        "--array=0-9%2", "--cpus-per-task=5", "--comment='two words'", "--hold",
        "--job-name=svm", "--output=/shared/jobs/%A_%a.out", "--signal=USR2@90",
        "--open-mode=append",
    } <= directives(script)  # fmt: skip
    assert script.startswith("#!/bin/bash\n")
    assert script.rstrip().endswith(
        f"srun --export=ALL --cpus-per-task=5 {PYTHON} -m orion_hpc worker --name 'it'\"'\"'s'"
    )
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("line\n{% if %}", "the template is wrong at line 2"),
        ("{{ partition }}", "can't be filled in: 'partition' is undefined"),
        ("{{ 1 / 0 }}", "can't be filled in: division by zero"),
        ("{{ options + 1 }}", "can't be filled in: unsupported operand"),
        ("{% include 'x' %}", "can't be filled in: no loader"),
        ("#!/bin/bash\n", "doesn't start a worker"),
    ],
)
def test_a_wrong_template_says_where(text, told):
    """One sentence and the next step, not jinja's traceback."""
    with pytest.raises(ConfigurationError, match=told):
        render(text, request_of())


def test_a_template_that_cannot_be_read_is_named(tmp_path):
    """A wrong path is bad input."""
    with pytest.raises(ConfigurationError, match="No such file") as caught:
        read_template(tmp_path / "none.j2")
    assert caught.value.exit_code == 2


def test_a_sites_template_is_used(tmp_path):
    """What the site wrote is what sbatch gets."""
    path = Path(tmp_path / "site.j2")
    path.write_text("#!/bin/bash\nmodule load x\n{{ command }}\n")
    assert "module load x" in TemplateLauncher(read_template(path)).preview(request_of())


def test_a_template_may_quote_the_command():
    """``bash -c`` needs it as one word."""
    script = render("#!/bin/bash\nbash -c {{ command | quote }}\n", request_of())
    assert "bash -c 'python" in script


def test_options_replace_what_the_template_would_say():
    """The notice before the end and the log's mode are defaults."""
    script = render(shipped_template(), request_of(signal="USR1@600", open_mode="truncate"))
    assert {"--signal=USR1@600", "--open-mode=truncate"} <= directives(script)
    assert "USR2@90" not in script


def test_jobs_do_not_search_the_working_directory_for_pythons_modules():
    """A user's own ``queue.py`` where the job starts isn't Python's; no variable is left to it."""
    for script in (slurm_script(request_of()), render(shipped_template(), request_of())):
        (step,) = (line for line in script.splitlines() if line.startswith("srun "))
        assert ("-P" in step.split()) == (sys.version_info >= (3, 11))
        assert "PYTHONSAFEPATH" not in script


def test_a_percent_sign_in_the_path_is_no_placeholder():
    """A folder called ``100%`` would be lost in Slurm's patterns; some even submitit can't do."""
    request = replace(request_of(), folder="/data/100%_%b/jobs")
    script = slurm_script(request)
    output = "/data/100%%_%%b/jobs/%A_%a_0_log.out"
    assert f"--output={output}" in directives(script)
    (step,) = (line for line in script.splitlines() if line.startswith("srun "))
    words = step.split()
    assert words[len(words) - words[::-1].index("--output")] == output
    assert words[-1] == "/data/100%_%b/jobs"
    assert "--output=/data/100%%_%%b/jobs/%A_%a.out" in directives(
        render(shipped_template(), request)
    )
    with pytest.raises(LaunchError, match="has %j in it"):
        slurm_script(replace(request, folder="/data/%j/jobs"))


def test_options_that_submitit_calculates_with_arrive_as_they_are():
    """Two nodes as a text and a job's name don't go through submitit's own parameters."""
    lines = directives(slurm_script(request_of(nodes="2", ntasks_per_node="1", job_name="other")))
    assert {"--nodes=2", "--ntasks-per-node=1", "--job-name=other"} <= lines


def test_variables_do_not_beat_what_the_user_gave(monkeypatch):
    """sbatch's variables would win over the script's lines; those of another job mislead it."""
    for name in [name for name in os.environ if name.startswith(("SLURM", "SBATCH"))]:
        monkeypatch.delenv(name)
    kept = {"SLURM_CONF": "/etc/x", "SBATCH_ACCOUNT": "mine", "SBATCH_GRES": "gpu"}
    dropped = {
        "SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "9", "SBATCH_TIMELIMIT": "1",
        "SBATCH_WAIT": "1", "SBATCH_PARTITION": "x", "SBATCH_MEM_PER_NODE": "1G",
        "SBATCH_ARRAY_INX": "0-99",
    }  # fmt: skip
    for name, value in {**kept, **dropped}.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with for_sbatch({"time", "partition", "mem-per-cpu"}):
        assert dict(os.environ) == {k: v for k, v in before.items() if k not in dropped}
    assert dict(os.environ) == before
