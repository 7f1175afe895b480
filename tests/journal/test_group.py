"""A database that a group shares: two real users, and a third who isn't in the group."""

from __future__ import annotations

import os
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orion_hpc.errors import StorageUnusable
from orion_hpc.journal.heartbeat import Heartbeat, signs
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE
from orion_hpc.sharedfs import layout

GROUP = 47_001
ANNE, BEN, EVE = 47_011, 47_012, 47_013
OTHERS = 47_099
BENS = "elsewhere:1:abcdef.1"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become several users")


def become(user: int, group: int, action: Callable[[], None]) -> str:
    """Run ``action`` in a process of this user; return ``''`` or what went wrong there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            os.umask(0o022)
            action()
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read().decode()
    os.waitpid(child, 0)
    return told


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a folder in which the group may write, below none that keeps it out."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        inner = Path(folder, "shared")
        inner.mkdir()
        os.chown(inner, ANNE, GROUP)
        os.chmod(inner, 0o2770)
        yield inner


def create(path: str, group: bool) -> None:
    """Make the database and an experiment in it."""
    settings = {"max_trials": None, "max_broken": 2}
    PickledDB.create(path, group=group).transact(
        CATALOGUE, lambda state: [ev.CreateExperiment("e", 1, settings, 0.0)]
    )


def register(path: str) -> None:
    """Register a trial and give a sign of life."""
    storage = PickledDB(path)
    storage.refresh()
    number = len(storage.state.experiments[1].trials)
    storage.transact(1, lambda state: [ev.RegisterTrial(number, {"x": number}, 1.0)])
    sign = Heartbeat(layout.workers_folder(path, "e-v1"), BENS, 60.0, {})
    sign.start()
    sign.stop(remove=False)
    layout.make_folder(layout.trial_folders(path, "e-v1", None)(number))


def test_two_members_of_the_group_work_on_one_database(shared):
    """Whatever their umask: one creates, both append, and each finds the other's signs."""
    path = str(shared / "db.pkl")
    assert become(ANNE, GROUP, lambda: create(path, group=True)) == ""
    assert become(BEN, GROUP, lambda: register(path)) == ""
    assert become(ANNE, GROUP, lambda: register(path)) == ""

    def look() -> None:
        assert len(PickledDB(path).refresh().experiments[1].trials) == 2
        assert list(signs(layout.workers_folder(path, "e-v1"))) == [BENS]
        with open(os.path.join(layout.trial_folders(path, "e-v1", None)(1), "mine"), "w"):
            pass

    assert become(BEN, GROUP, look) == ""
    modes = {name: stat.S_IMODE((shared / name).stat().st_mode) for name in os.listdir(shared)}
    assert modes == {"db.pkl": 0o660, "db.pkl.lock": 0o660, "db.pkl.files": 0o2770}


def test_nobody_else_gets_in(shared):
    """A user outside of the group can neither read nor write it."""
    path = str(shared / "db.pkl")
    assert become(ANNE, GROUP, lambda: create(path, group=True)) == ""
    os.chmod(shared, 0o777)

    def intrude() -> None:
        with pytest.raises(StorageUnusable, match="Permission denied"):
            PickledDB(path)

    assert become(EVE, OTHERS, intrude) == ""


def test_a_private_database_stays_private_in_a_shared_folder(shared):
    """Without the option the group can't even read it; made readable, it is still refused."""
    path = str(shared / "db.pkl")
    assert become(ANNE, GROUP, lambda: create(path, group=False)) == ""
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    os.chmod(path, 0o666)

    def look() -> None:
        with pytest.raises(StorageUnusable, match=f"belongs to user {ANNE}") as caught:
            PickledDB(path)
        assert "allow_group" in caught.value.hint

    assert become(BEN, GROUP, look) == ""


def test_a_link_of_somebody_elses_is_not_followed(shared):
    """Who may write in a folder can't lead another's workers to another file."""
    path = str(shared / "db.pkl")
    assert become(ANNE, GROUP, lambda: create(path, group=True)) == ""
    link = str(shared / "link.pkl")
    assert become(EVE, GROUP, lambda: os.symlink(path, link)) == ""

    def follow() -> None:
        with pytest.raises(StorageUnusable, match="symbolic link that user"):
            PickledDB(link)

    assert become(ANNE, GROUP, follow) == ""
