"""A trial that goes on from another one: what it finds in its working directory."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from orion_hpc.client import build_experiment
from orion_hpc.errors import CompletedExperiment
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.worker import attempt, checkpoint_copy
from orion_hpc.worker.checkpoint_copy import inherit, inherit_in_time
from orion_hpc.worker.task import CallableTarget, TrialTask
from tests.rigs.command import orion_hpc


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """Return a working directory that a trial has left."""
    folder = tmp_path / "trials" / "3"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "layer0").write_text("w")
    (folder / "latest").symlink_to("weights")
    for own in ("log.txt", "results.json", "unrecorded-1.json"):
        (folder / own).write_text("old")
    return folder


def test_all_is_copied_but_what_the_worker_wrote(parent: Path) -> None:
    """Files, directories and links; not the log and the results of the other trial."""
    child = parent.parent / "8"
    inherit(str(parent), str(child), 1)
    assert sorted(os.listdir(child)) == ["latest", "weights"]
    assert (child / "latest").is_symlink()
    (child / "weights" / "layer0").write_text("changed")
    assert (parent / "weights" / "layer0").read_text() == "w"
    assert sorted(os.listdir(parent.parent)) == ["3", "8"]


def test_the_worker_owns_names_at_the_top_only(parent: Path) -> None:
    """A checkpoint's own ``results.json`` and ``log.txt`` belong to the user."""
    for name in ("log.txt", "results.json", "unrecorded-1.json"):
        (parent / "weights" / name).write_text("the user's")
    child = parent.parent / "8"
    inherit(str(parent), str(child), 1)
    assert sorted(os.listdir(child / "weights")) == [
        "layer0", "log.txt", "results.json", "unrecorded-1.json",
    ]  # fmt: skip


def test_what_can_not_be_copied_is_left_out(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket or a pipe that a training left behind doesn't break those that go on from it."""
    os.mkfifo(parent / "weights" / "pipe")
    monkeypatch.chdir(parent)  # a socket's path has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("server")
    child = parent.parent / "8"
    inherit(str(parent), str(child), 1)
    assert sorted(os.listdir(child)) == ["latest", "weights"]
    assert os.listdir(child / "weights") == ["layer0"]


def test_links_lead_into_the_copy(parent: Path, tmp_path: Path) -> None:
    """Who writes through a link by an absolute path doesn't write into the other trial's files."""
    (parent / "absolute").symlink_to(parent / "weights")
    (parent / "weights" / "top").symlink_to(parent)
    (parent / "beside").symlink_to(f"{parent}0")
    (parent / "outside").symlink_to(tmp_path)
    child = parent.parent / "8"
    inherit(str(parent), str(child), 1)
    (child / "absolute" / "layer0").write_text("changed")
    assert (parent / "weights" / "layer0").read_text() == "w"
    links = {name: os.readlink(child / name) for name in ("absolute", "beside", "outside")}
    links["top"] = os.readlink(child / "weights" / "top")
    assert links == {
        "absolute": f"{child}/weights", "beside": f"{parent}0", "outside": str(tmp_path),
        "top": str(child),
    }  # fmt: skip


def test_a_directory_that_is_there_stays(parent: Path) -> None:
    """A second attempt goes on from its own checkpoint."""
    child = parent.parent / "8"
    inherit(str(parent), str(child), 1)
    (child / "weights" / "layer0").write_text("further")
    inherit(str(parent), str(child), 2)
    assert (child / "weights" / "layer0").read_text() == "further"


def test_a_parent_that_left_nothing(tmp_path: Path) -> None:
    """There is nothing to go on from, which the trial sees by itself."""
    inherit(str(tmp_path / "3"), str(tmp_path / "8"), 1)
    assert os.listdir(tmp_path) == []


def test_half_a_copy_is_never_taken_for_one(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an attempt left that was killed meanwhile is removed by the next; a failure is told."""
    child = parent.parent / "8"
    half = parent.parent / "8.copy-1"
    half.mkdir()
    (half / "weights").write_text("half")
    unreadable = OSError(28, "No space left on device")

    def fail(*arguments, **options):
        raise shutil.Error([("a", "b", str(unreadable))])

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", fail)
        with pytest.raises(OSError, match=r"couldn't be copied: .*No space left"):
            inherit(str(parent), str(child), 2)
    assert not child.exists()
    inherit(str(parent), str(child), 2)
    assert sorted(os.listdir(parent.parent)) == ["3", "8"]
    assert (child / "weights").is_dir()


def test_an_attempt_that_was_faster_wins(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts at once, one of which is thought lost: the directory is whole all the same."""
    child = parent.parent / "8"
    rename = os.rename

    def late(source, target):
        child.mkdir()
        (child / "theirs").write_text("")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", late)
        inherit(str(parent), str(child), 1)
    assert os.listdir(child) == ["theirs"]
    assert sorted(os.listdir(parent.parent)) == ["3", "8"]


def test_rights_are_kept(parent: Path) -> None:
    """A directory that a group shares stays so."""
    os.chmod(parent, 0o2770)
    child = parent.parent / "8"
    inherit(str(parent), str(child), 1)
    assert stat.S_IMODE(child.stat().st_mode) == 0o2770


TRAIN = """
import os
from pathlib import Path

def main(lr, epochs, trial):
    state = Path(trial.working_dir, "epochs")
    done = int(state.read_text()) if trial.resumed and state.exists() else 0
    assert (done > 0) == (trial.parent is not None), (done, trial.parent)
    with open("trained", "a") as file:
        print(trial.number, done, epochs, file=file)
    state.write_text(str(epochs))
    return (lr - 0.1) ** 2
"""
SCRIPT = """
import json, os
params = json.loads(os.environ["ORION_HPC_PARAMS"])
state = os.path.join(os.environ["ORION_HPC_WORKING_DIR"], "epochs")
done = int(open(state).read()) if os.path.exists(state) else 0
assert (done > 0) == (os.environ["ORION_HPC_PARENT"] != ""), done
with open("trained", "a") as file:
    print(os.environ["ORION_HPC_TRIAL_NUMBER"], done, params["epochs"], file=file)
open(state, "w").write(str(params["epochs"]))
print((params["lr"] - 0.1) ** 2)
"""


RUNS = ["function: train:main\ntrial_arg: trial\n", "command: [python, train.py]\n"]


@pytest.mark.parametrize("runs", RUNS, ids=["function", "command"])
@pytest.mark.usefixtures("no_slurm")
def test_a_promotion_trains_only_what_it_has_more(tmp_path: Path, runs: str) -> None:
    """On local processes, from the command line: no epoch is trained twice in a line of trials."""
    (tmp_path / "train.py").write_text(TRAIN if "function" in runs else SCRIPT)
    config = tmp_path / "config.yaml"
    config.write_text(
        "name: t\nspace: {lr: 'loguniform(1e-4, 1)', epochs: 'fidelity(1, 9, base=3)'}\n"
        "algorithm: {asha: {seed: 1}}\nmax_trials: 20\nworker: {executor: single}\n" + runs
    )
    done = orion_hpc("submit", "--array", "3", str(config), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = PickledDB(str(tmp_path / "db.pkl")).refresh().experiments[1].trials
    trained = {}
    for line in (tmp_path / "trained").read_text().splitlines():
        number, first, last = map(int, line.split())
        trained[number] = (first, last)
    assert len(trained) == 20
    assert any(trial.parent is not None for trial in trials)
    for trial in trials:
        first, last = trained[trial.number]
        assert last == trial.params["epochs"]
        assert first == (0 if trial.parent is None else trials[trial.parent].params["epochs"])


def test_from_python(tmp_path: Path) -> None:
    """A program with its own loop finds the copy, and the id of the trial before."""
    experiment = build_experiment(
        "p",
        space={"x": "uniform(0, 1)", "epochs": "fidelity(1, 4)"},
        algorithm={"pbt": {"seed": 1, "population_size": 4, "generations": 3}},
        storage=str(tmp_path / "db.pkl"),
    )
    ids = {}
    with contextlib.suppress(CompletedExperiment):  # it shows when there is no further point
        while True:
            trial = experiment.suggest()
            state = Path(trial.working_dir, "epochs")
            assert trial.resumed == (trial.parent is not None) == state.exists()
            if trial.parent is not None:
                assert int(state.read_text()) == ids[trial.parent] < trial.params["epochs"]
            state.write_text(str(trial.params["epochs"]))
            ids[trial.id] = trial.params["epochs"]
            experiment.observe(trial, trial.params["x"])
    assert len(ids) == 12


def test_a_full_disk_is_waited_for(small_disk: Path) -> None:
    """A trial isn't to blame for it; half of a copy doesn't stay meanwhile."""
    parent, child, hog = small_disk / "3", small_disk / "8", small_disk / "hog"
    parent.mkdir()
    (parent / "layer").write_bytes(b"w" * 60_000)
    hog.write_bytes(b"h" * 180_000)
    asked = []

    def stopped() -> bool:
        asked.append(sorted(os.listdir(small_disk)))
        if len(asked) == 3:
            hog.unlink()
        return False

    assert inherit_in_time(str(parent), str(child), 1, stopped)
    assert (child / "layer").read_bytes() == b"w" * 60_000
    assert len(asked) >= 3
    assert asked[0] == asked[1] == ["3", "hog"]


def test_a_stop_notice_ends_the_wait_for_room(small_disk: Path, caplog) -> None:
    """The wait is told; another worker goes on with the trial."""
    parent, hog = small_disk / "3", small_disk / "hog"
    parent.mkdir()
    (parent / "layer").write_bytes(b"w" * 60_000)
    hog.write_bytes(b"h" * 180_000)
    marks = iter([False, True])
    done = inherit_in_time(str(parent), str(small_disk / "8"), 1, lambda: next(marks))
    assert not done
    assert sorted(os.listdir(small_disk)) == ["3", "hog"]
    assert f"the working directory {parent} couldn't be copied: No space left" in caplog.text


def test_a_disk_that_stays_full_breaks_the_trial(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the end; what else can't be copied does so at once."""
    monkeypatch.setattr(checkpoint_copy, "_PATIENCE", 0.0)
    parent = small_disk / "3"
    parent.mkdir()
    (parent / "layer").write_bytes(b"w" * 60_000)
    (small_disk / "hog").write_bytes(b"h" * 180_000)
    with pytest.raises(OSError, match="No space left") as caught:
        inherit_in_time(str(parent), str(small_disk / "8"), 1, lambda: False)
    assert caught.value.errno == errno.ENOSPC


def test_a_notice_during_the_wait_leaves_the_trial_interrupted(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that ran."""
    monkeypatch.setattr(attempt, "inherit_in_time", lambda *arguments: False)
    target = CallableTarget(lambda x: x)
    folder = str(parent.parent / "8")
    task = TrialTask(
        target, 8, "id", 1, {"x": 1}, {"x": 1}, folder, "e", parent="p", parent_dir=str(parent)
    )
    outcome = attempt.run_task(task)
    assert outcome.status == "interrupted"
    assert "there was no room for a copy" in outcome.message
