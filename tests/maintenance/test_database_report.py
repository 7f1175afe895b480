"""What is told of a database as a file."""

from __future__ import annotations

from typing import Any

from orion_hpc.maintenance.database_report import (
    check_lines,
    experiment_rows,
    info_rows,
    repair_lines,
)
from orion_hpc.model.trial_record import STATUSES


def trials(**counts: int) -> dict[str, int]:
    """Return a count for each status."""
    return {status: counts.get(status, 0) for status in STATUSES}


def found(**changes: Any) -> dict[str, Any]:
    """Return what an examination gives."""
    experiment = {"name": "e", "version": 1, "number": 1, "trials": trials(completed=3, new=1)}
    return {
        "sound": True, "path": "/a/db.pkl", "size": 12345, "transactions": 1, "seals": 0, "torn": 0,
        "restorations": 0, "gaps": [], "kept": [], "damage": [], "missing": [],
        "orphans": 0, "experiments": [experiment], **changes,
    }  # fmt: skip


def damage(start: int, size: int, kind: str = "damage", why: str = "") -> dict[str, Any]:
    """Return a fault."""
    return {"start": start, "end": start + size, "kind": kind, "why": why}


HELD = [{"experiment": "e-v1", "trial": 3, "worker": "c1:7:abc.0"}]
GAPS = [damage(5000, 120, "overtaken"), damage(7000, 0, "overtaken")]


DAMAGE = [damage(0, 90, "header", "the header can't be read"), damage(5000, 120),
          damage(7000, 50, "strange", "no event looks like (99, 1)")]  # fmt: skip


def test_a_sound_one_is_one_sentence():
    """With what is torn, if there is something."""
    assert list(check_lines(found(), "db.pkl")) == [
        "db.pkl is sound: 1 transaction in 12,345 bytes, 1 experiment, 4 trials (3 completed)."
    ]
    assert list(check_lines(found(torn=31, orphans=2), "db.pkl"))[1:] == [
        "31 bytes are a write that is in progress or was cut short; the next one goes on behind "
        "it.",
        "2 transactions of experiments that nothing made can't be used.",
    ]


def test_damage_is_told_with_the_first_offset_and_what_to_type():
    """The path is quoted for the shell; other places follow."""
    lines = list(check_lines(found(sound=False, damage=DAMAGE, transactions=40), "my db.pkl"))
    assert lines == [
        "my db.pkl is damaged at offset 0 (90 bytes: the header can't be read), and in 2 other "
        "places; 40 transactions can be saved with 'orion-hpc db repair 'my db.pkl''.",
        "  offset 5,000: 120 bytes are no transaction",
        "  offset 7,000: 50 bytes that no version of orion-hpc writes: no event looks like (99, 1)",
        "Before the damage: 1 experiment, 4 trials (3 completed).",
    ]
    lines = list(check_lines(found(sound=False, damage=DAMAGE, missing=HELD), "db.pkl"))
    assert lines[-1] == (
        "What is missing may be the result of trial 3 of e-v1 (worker c1:7:abc.0)."
    )


def test_a_gap_that_can_be_filled_is_told_and_not_called_sound():
    """Where it is, whose results it was, and who puts them back."""
    lines = list(check_lines(found(sound=False, gaps=GAPS, kept=HELD), "db.pkl"))
    assert lines == [
        "db.pkl has gaps, of which nothing is lost (1 experiment, 4 trials (3 completed)):",
        "  offset 5,000: 120 bytes are in the place of what was recorded",
        "  offset 7,000: nothing is in the place of what was recorded",
        "It was written over or destroyed. The writers have kept all of it, of trial 3 of e-v1 "
        "(worker c1:7:abc.0); the next job restores it, or 'orion-hpc db repair db.pkl'.",
    ]
    done = {"repaired": False, "restored": HELD, **found(restorations=1)}
    assert list(repair_lines(done, "db.pkl")) == [
        "What its writers had kept is restored: trial 3 of e-v1 (worker c1:7:abc.0). "
        f"{next(check_lines(found(), 'db.pkl'))}"
    ]
    assert list(check_lines(found(restorations=1), "db.pkl"))[1] == (
        "What had been destroyed in 1 place was restored from what its writers had kept."
    )


def test_a_repair_tells_what_was_lost_and_what_was_put_in():
    """Bytes, places, counts before and after, and each thing that isn't as it was."""
    now = {"name": "e", "version": 1, "number": 1, "trials": trials(completed=5, broken=1)}
    put_in = {
        "experiments": ["lost-2-v1"], "again": {"e-v1": [4]}, "unknown": {"e-v1": [5, 6]},
        "attempts": {"e-v1": list(range(9))}, "max_broken": {"e-v1": (3, 5)},
    }  # fmt: skip
    lines = list(repair_lines(
        {"repaired": True, "aside": "/a/db.pkl.damaged-1", "put_in": put_in,
         "now": {"experiments": [now]}, **found(sound=False, damage=DAMAGE[1:], transactions=40)},
        "db.pkl",
    ))  # fmt: skip
    assert lines == [
        "Repaired db.pkl: 40 transactions were kept, 170 bytes in 2 places left out:",
        "  offset 5,000: 120 bytes are no transaction",
        "  offset 7,000: 50 bytes that no version of orion-hpc writes: no event looks like (99, 1)",
        "The damaged file is kept as /a/db.pkl.damaged-1.",
        "e-v1: 5 completed, 1 broken; before the damage: 1 new, 3 completed",
        "  trial 4: the registration was lost; the algorithm gave the parameters again.",
        "  trials 5, 6: the parameters are lost; broken, unless there is a result.",
        "  trials 0, 1, 2, 3, 4, 5, 6, 7, …: a part of their history was lost.",
        "  max_broken: 3 -> 5, for the trials that the damage broke.",
        "lost-2-v1 stands for an experiment whose name and settings are lost.",
    ]
    assert not any("What is missing" in line for line in lines)
    lines = list(repair_lines(
        {"repaired": True, "aside": "/a/db.pkl.damaged-1", "put_in": put_in,
         "now": {"experiments": [now]}, **found(sound=False, damage=DAMAGE[1:2], missing=HELD)},
        "db.pkl",
    ))  # fmt: skip
    assert lines[2] == "What is missing may be the result of trial 3 of e-v1 (worker c1:7:abc.0)."
    assert list(repair_lines({"repaired": False, "restored": None, **found()}, "db.pkl")) == [
        f"Nothing is to be repaired. {next(check_lines(found(), 'db.pkl'))}"
    ]


def test_info_has_a_row_for_each_thing_and_each_experiment():
    """Workers are counted by experiment."""
    about = found(
        format=None, lock=None, id=None, owner="anne", mode="0660", group=True,
        workers={"e-v1": ["w1", "w2"]}, sound=False, damage=DAMAGE,
    )  # fmt: skip
    rows = dict(info_rows(about))
    assert rows["owner"] == "anne, mode 0660, group"
    assert rows["state"] == "damaged at offset 0"
    assert (rows["format"], rows["lock"], rows["workers alive"]) == ("unknown", "unknown", "2")
    assert experiment_rows(about) == [("e-v1", "4", "3", "0", "1", "0", "2")]
