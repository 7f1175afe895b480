"""Removing an experiment: from the journal and from the disk, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orion_hpc.errors import NoConfigurationError, StorageError, WorkersAlive
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.journal.writer import JournalWriter
from orion_hpc.maintenance import experiment_removal
from orion_hpc.maintenance.experiment_removal import find_experiment, remove
from orion_hpc.model import event as ev
from orion_hpc.sharedfs import layout, process_identity
from tests.rigs.database import create, give_sign, work


@pytest.fixture
def path(tmp_path):
    """A database with e-v1 and f-v1, each with trials and a folder."""
    path = tmp_path / "db.pkl"
    work(create(path), 3)
    work(create(path, "f"), 2, number=2)
    for title in ("e-v1", "f-v1"):
        folder = Path(layout.experiment_folder(str(path), title), "trials", "0")
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text("x")
    return path


def titles(path) -> list[str]:
    """Return which experiments there are."""
    return [one.title for one in PickledDB(str(path)).refresh().experiments.values()]


def files(path) -> list[str]:
    """Return what lies in the folder beside the database."""
    return sorted(os.listdir(f"{path}.files"))


def remove_one(path, name: str = "e"):
    """Find and remove."""
    return remove(str(path), find_experiment(str(path), name, None))


def test_an_experiment_goes_with_its_folder_and_its_name_is_free(path):
    """Others keep everything; a new one of the same name starts from nothing."""
    before = path.read_bytes()
    done = remove_one(path)
    assert (done.title, done.trials) == ("e-v1", 3)
    assert done.folder == f"{path}.files/e-v1"
    assert done.notes == []
    assert titles(path) == ["f-v1"]
    assert files(path) == ["f-v1"]
    assert path.read_bytes().startswith(before), "the journal is only appended to"
    storage = create(path, max_trials=2)
    experiment = work(storage, 5, number=3)
    assert experiment.title == "e-v1"
    assert len(experiment.trials) == 2
    assert titles(path) == ["f-v1", "e-v1"]


def test_which_one_is_meant_is_never_guessed(path):
    """Neither among names nor among versions."""
    create(path, "e", 2)
    for asked in ((None, None), ("e", None), (None, 1)):
        with pytest.raises(NoConfigurationError, match="several experiments") as caught:
            find_experiment(str(path), *asked)
        assert "--version" in caught.value.hint or "--name" in caught.value.hint
    assert find_experiment(str(path), "e", 1).title == "e-v1"
    assert find_experiment(str(path), None, 2).title == "e-v2"
    with pytest.raises(NoConfigurationError, match="no experiment 'g'"):
        find_experiment(str(path), "g", None)


def test_nothing_is_removed_while_a_worker_is_alive(path):
    """It is named with what to type; workers of other experiments don't matter."""
    give_sign(path, "f-v1", str(process_identity.own()))
    before = path.read_bytes()
    with pytest.raises(WorkersAlive, match="f-v1 can't be removed while 1 worker runs"):
        remove_one(path, "f")
    assert path.read_bytes() == before
    assert files(path) == ["e-v1", "f-v1"]
    remove_one(path, "e")
    assert titles(path) == ["f-v1"]


def test_a_worker_that_comes_between_the_look_and_the_removal_is_seen(path, monkeypatch):
    """The last look is under the lock, which the worker needs for its first reservation."""
    looked = []
    really = experiment_removal.refuse_if_alive

    def look(*given):
        really(*given)
        if not looked:
            give_sign(path, "e-v1", str(process_identity.own()))
        looked.append(given)

    monkeypatch.setattr(experiment_removal, "refuse_if_alive", look)
    with pytest.raises(WorkersAlive):
        remove_one(path)
    assert len(looked) == 1
    assert titles(path) == ["e-v1", "f-v1"]
    assert files(path) == ["e-v1", "f-v1"]


def test_a_worker_that_comes_after_it_finds_no_experiment(path):
    """With a sentence, and what it writes counts nowhere."""
    storage = PickledDB(str(path))
    storage.refresh()
    remove_one(path)
    with pytest.raises(NoConfigurationError, match="e-v1 was removed from the database"):
        work(storage, 1)
    late = ev.CompleteTrial(2, 1, [], 9.0)
    storage.transact(1, lambda state: [late])
    assert titles(path) == ["f-v1"]


def test_a_journal_that_can_not_be_written_leaves_the_folder(path, monkeypatch):
    """What was set aside comes back under its name."""
    experiment = find_experiment(str(path), "e", None)

    def fail(self, *given):
        raise StorageError("no")

    monkeypatch.setattr(JournalWriter, "append", fail)
    with pytest.raises(StorageError, match="no"):
        remove(str(path), experiment)
    assert files(path) == ["e-v1", "f-v1"]
    assert titles(path) == ["e-v1", "f-v1"]


def test_links_are_not_followed(path, tmp_path):
    """Neither one in the folder, nor one in the folder's place: that is left, and told."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (path.parent / "db.pkl.files" / "e-v1" / "link").symlink_to(outside)
    remove_one(path)
    folder = path.parent / "db.pkl.files" / "f-v1"
    os.rename(folder, tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    done = remove_one(path, "f")
    assert done.folder is None
    (note,) = done.notes
    assert "f-v1 is left alone" in note
    assert (outside / "precious").exists()
    assert (tmp_path / "moved" / "trials" / "0" / "log.txt").exists()
    assert titles(path) == []


def test_the_users_own_directories_are_left_alone_and_told(tmp_path):
    """``working_dir`` may hold what is worth more than the experiment."""
    place = tmp_path / "work"
    (place / "e-v1" / "0").mkdir(parents=True)
    create(tmp_path / "db.pkl", working_dir=str(place))
    done = remove_one(tmp_path / "db.pkl")
    assert done.folder is None
    assert done.notes == [f"The trials' own directories are left alone: {place}/e-v1"]
    assert (place / "e-v1" / "0").exists()


def test_a_name_that_leads_elsewhere_never_becomes_a_path(path, monkeypatch):
    """No reader takes such a name from a file; if one did, no folder would be touched."""
    experiment = find_experiment(str(path), "e", None)
    experiment.name = "../outside"
    outside = path.parent / "outside-v1"
    outside.mkdir()
    mover = experiment_removal._Mover(str(path), experiment)
    mover.set_aside()
    assert mover.remove() == []
    assert outside.exists()


def test_one_that_is_gone_already_is_no_error(path):
    """Two who remove the same experiment: it is gone, and a new one of its name stays."""
    experiment = find_experiment(str(path), "e", None)
    remove(str(path), experiment)
    create(path)
    layout.make_folder(layout.experiment_folder(str(path), "e-v1"))
    remove(str(path), experiment)
    assert titles(path) == ["f-v1", "e-v1"]
    assert files(path) == ["e-v1", "f-v1"]
