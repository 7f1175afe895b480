"""The file of a job's settings: what is written is read, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from orion_hpc.config.settings import WorkerOptions
from orion_hpc.errors import ConfigurationError
from orion_hpc.worker.job_spec import JobSpec, read_job_spec

SPEC = JobSpec(
    storage="/shared/db.pkl",
    name="svm",
    version=2,
    n_workers=3,
    executor="joblib",
    heartbeat=60,
    idle_timeout=0.5,
    on_suspend="keep",
    trial_time=600.0,
    cpus=5,
    path="/home/me/svm",
    imports=("/a", "/b"),
    reopens=True,
    function="/shared/function.pkl",
    trial_arg="trial",
    options={"backend": "threading", "deep": {"a": [1, None]}},
)
LEAST = JobSpec("/db.pkl", "e", 1, 1, "single", 60.0, 60.0)


@pytest.mark.parametrize("spec", [SPEC, LEAST, dataclasses.replace(LEAST, trial_time="off")])
def test_what_is_written_is_read(tmp_path: Path, spec: JobSpec) -> None:
    """Each setting, also one that was left to its default."""
    file = tmp_path / "worker.json"
    file.write_text(spec.to_json())
    assert read_job_spec(str(file)) == spec


def changed(**settings: Any) -> str:
    """Return the content of a file with these settings changed; Ellipsis: left out."""
    found = {**json.loads(SPEC.to_json()), **settings}
    return json.dumps({name: value for name, value in found.items() if value is not ...})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "isn't JSON: "),
        ("[1]", "isn't a mapping of settings"),
        (changed(version=..., name=...), "lacks name, version"),
        (changed(colour="red"), "has the unknown colour"),
        (changed(name=3), "has a wrong name: 3"),
        (changed(version="2"), "has a wrong version: '2'"),
        (changed(version=True), "has a wrong version: True"),
        (changed(n_workers=0), "has a wrong n_workers: 0"),
        (changed(heartbeat=0), "has a wrong heartbeat: 0"),
        (changed(grace=-1), "has a wrong grace: -1"),
        (changed(cpus=1.5), "has a wrong cpus: 1.5"),
        (changed(on_suspend="never"), "has a wrong on_suspend: 'never'"),
        (changed(trial_time="on"), "has a wrong trial_time: 'on'"),
        (changed(trial_time=0), "has a wrong trial_time: 0"),
        (changed(imports="/a"), "has a wrong imports: '/a'"),
        (changed(imports=[1]), r"has a wrong imports: \[1\]"),
        (changed(reopens=None), "has a wrong reopens: None"),
        (changed(options=[]), r"has a wrong options: \[\]"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, text: str, what: str) -> None:
    """It names the file and the setting, and ends the job with 2."""
    file = tmp_path / "worker.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"settings {file} {what}") as caught:
        read_job_spec(str(file))
    assert caught.value.exit_code == 2


def test_a_setting_that_is_newer_than_the_file_has_its_default(tmp_path: Path) -> None:
    """A job that waited in the queue during an upgrade starts all the same."""
    file = tmp_path / "worker.json"
    file.write_text(changed(on_suspend=..., imports=...))
    assert read_job_spec(str(file)) == dataclasses.replace(SPEC, on_suspend="auto", imports=())


def test_bytes_that_are_no_text_are_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "worker.json"
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="isn't text in UTF-8"):
        read_job_spec(str(file))


def test_a_file_that_appears_late_is_waited_for(tmp_path: Path) -> None:
    """As on a network file system, whose client may see it a minute later."""
    file = tmp_path / "worker.json"
    with pytest.raises(ConfigurationError, match="No such file") as caught:
        read_job_spec(str(file))
    assert str(file) in str(caught.value)
    (tmp_path / "new").write_text(SPEC.to_json())
    timer = threading.Timer(0.5, (tmp_path / "new").rename, [file])
    timer.start()
    assert read_job_spec(str(file), wait=3600) == SPEC
    timer.join()


def test_options_that_are_no_plain_data_are_refused() -> None:
    """They would be read as something else."""
    spec = dataclasses.replace(LEAST, options={"folder": Path("/tmp")})
    with pytest.raises(ConfigurationError, match="can't be written to the jobs' file"):
        spec.to_json()


def test_every_setting_of_a_worker_is_a_jobs() -> None:
    """What the configuration's block ``worker`` has can't be forgotten on the way to the job."""
    assert set(WorkerOptions.model_fields) <= {one.name for one in dataclasses.fields(JobSpec)}
