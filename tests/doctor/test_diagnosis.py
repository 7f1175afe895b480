"""What findings amount to. That they are made rightly is for the tests of the command."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orion_hpc.doctor.diagnosis import diagnosis_lines, diagnosis_record, is_bad, verdicts
from orion_hpc.doctor.findings import Findings, LockReport
from orion_hpc.doctor.host_facts import HostFacts
from orion_hpc.doctor.lock_facts import Tried
from orion_hpc.doctor.quota import Quota
from orion_hpc.doctor.verdict import Verdict

LOGIN = HostFacts(
    host="login", node="login", executable="/env/bin/python", python="3.11.2", version="0.1.0",
    package="/env/orion_hpc", package_on="nfs4", file_system="nfs4",
    lock="flock-database", source="nas:/data", options={"vers": "4.2", "hard": ""}, client="a:1",
    ahead=0.01, doubt=0.01, free=10**12, free_files=None,
)  # fmt: skip


ALL = dict.fromkeys(("flock", "flock-database", "lease"), "excluded")


def node(name: str, **changes) -> HostFacts:
    return replace(LOGIN, host=name, node=name, job="7_0.0", client=f"{name}:1", **changes)


def findings(**changes) -> Findings:
    """Return those of a site where all is well, but for ``changes``."""
    found = Findings(
        "/data/db.pkl",
        asked=2,
        started=True,
        here=LOGIN,
        nodes=[node("c1"), node("c2")],
        slurm={"sbatch": "", "squeue": "", "scontrol": "", "sacct": ""},
        cluster="big",
        lock="flock-database",
        tried=[Tried("c1", True, ALL), Tried("c2", True, ALL)],
        parts=[LockReport("this host", 90, 0), LockReport("c1", 80, 0), LockReport("c2", 70, 0)],
        appended=60,
        expected=60,
        delays={"c1": [0.01, 0.02], "c2": [0.015]},
        quota=Quota(10**12, None),
    )
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def of(check: str, found: Findings) -> Verdict:
    """Return the last verdict of one check."""
    return [one for one in verdicts(found) if one.check == check][-1]


def test_all_is_well():
    """No advice where there is nothing to be done."""
    told = verdicts(findings())
    assert {one.verdict for one in told} == {"ok"}
    assert not any(one.advice for one in told)
    assert not is_bad(told)
    assert of("lock", findings()).found == (
        "flock-database was exclusive: 240 times held by this host, c1 and c2"
    )
    assert of("delay", findings()).found == "an append is seen after 15 ms (at most 20 ms)"


@pytest.mark.parametrize(
    ("check", "verdict", "says", "changes"),
    [
        ("slurm", "failed", "squeue: no", {"slurm": {"sbatch": "", "squeue": "no"}}),
        ("accounting", "ok", "doesn't answer", {"slurm": {"sbatch": "", "sacct": "off"}}),
        ("storage", "failed", "read-only", {"here": None, "trouble": "read-only"}),
        ("file system", "warning", "lustre, lock lease",
         {"here": replace(LOGIN, file_system="lustre", lock="lease"), "lock": "",
          "nodes": [node("c1", file_system="lustre")]}),
        ("storage", "failed", "is dead", {"here": None, "trouble": "x is dead", "hint": "Mount."}),
        ("mount", "warning", "soft: when the server doesn't answer, reads and writes fail",
         {"nodes": [node("c1", options={"vers": "4.2", "soft": ""})]}),
        ("file system", "ok", "fuse (mfs#here:9421), lock flock",
         {"here": replace(LOGIN, file_system="fuse", source="mfs#here:9421", lock="lease"),
          "nodes": [node("c1", file_system="fuse")], "lock": "flock"}),
        ("file system", "warning", "doesn't say whether it shares flock",
         {"here": replace(LOGIN, file_system="odd", lock="lease"), "nodes": [], "lock": "lease"}),
        ("file system", "warning", "a disk of this host",
         {"here": replace(LOGIN, file_system="ext4"), "nodes": []}),
        ("file system", "warning", "on nodes it is tmpfs",
         {"nodes": [node("c1", file_system="tmpfs")]}),
        ("database", "failed", "isn't a database", {"database_trouble": "it isn't a database"}),
        ("database", "warning", "made with the lock flock",
         {"database_lock": "flock", "here": replace(LOGIN, lock="lease")}),
        ("database", "warning", "made with the lock flock-database",
         {"database_lock": "flock-database", "here": replace(LOGIN, lock="lease")}),
        ("writing", "failed", "c1: Disk quota exceeded",
         {"nodes": [node("c1", trouble="Disk quota exceeded"), node("c2")]}),
        ("space", "warning", "500 MB free", {"here": replace(LOGIN, free=500 * 10**6)}),
        ("space", "failed", "room for 10 files", {"here": replace(LOGIN, free_files=10)}),
        ("space", "unknown", "doesn't say", {"here": replace(LOGIN, free=None)}),
        ("quota", "ok", "none is set", {"quota": Quota(None, None)}),
        ("quota", "failed", "0 B", {"quota": Quota(0, None)}),
        ("quota", "unknown", "no command", {"quota": None, "quota_trouble": "no command"}),
        ("nodes", "failed", "invalid partition", {"refused": "sbatch: invalid partition"}),
        ("nodes", "unknown", "1 of 2 tasks came; 1 pending (Priority)",
         {"nodes": [node("c1")], "missing": "1 pending (Priority)"}),
        ("nodes", "failed", "No module named 'x'",
         {"nodes": [], "missing": "the others ended (FAILED)", "logs": ["No module named 'x'"]}),
        ("nodes", "failed", "wrote no log", {"nodes": [], "missing": "the others ended (FAILED)"}),
        ("nodes", "warning", "ran on c1", {"nodes": [node("c1"), node("c1")]}),
        ("nodes", "unknown", "this host alone", {"local": "no sbatch"}),
        ("processes", "failed", "killed", {"local": "x", "nodes": [], "missing": "killed"}),
        ("python", "failed", "c1: 3.9.1", {"nodes": [node("c1", python="3.9.1")]}),
        ("python", "failed", "orion-hpc 0.0.9", {"nodes": [node("c1", version="0.0.9")]}),
        ("python", "warning", "/opt/python",
         {"nodes": [node("c1", executable="/opt/python", python="3.11.9")]}),
        ("python", "unknown", "on ext4",
         {"nodes": [], "here": replace(LOGIN, package_on="ext4")}),
        ("lock", "failed", "3 of 20 times it was held by two (c1 saw it)",
         {"parts": [LockReport("this host", 10, 0), LockReport("c1", 10, 3)]}),
        ("lock", "unknown", "c2 ended",
         {"parts": [LockReport("this host", 10, 5), LockReport("c1", 10, 3)], "silent": ["c2"]}),
        ("lock", "failed", "c1: it wasn't free",
         {"parts": [LockReport("this host", 10, 0), LockReport("c1", 0, 0, "it wasn't free")]}),
        ("lock", "unknown", "c1 didn't take part",
         {"parts": [LockReport("this host", 10, 0), LockReport("c1", 0, 0)]}),
        ("lock", "unknown", "nobody else", {"parts": []}),
        ("lock kinds", "unknown", "nobody else", {"tried": []}),
        ("lock kinds", "failed", "(c1 had it, too)",
         {"tried": [Tried("c1", True, {**ALL, "flock-database": "had"})]}),
        ("fencing", "warning", "over what others appended",
         {"lock": "flock", "database_lock": "flock"}),
        ("journal", "failed", "59 trials were found of 60", {"appended": 59}),
        ("journal", "failed", "c1 doesn't find 2 of them", {"appended": 58, "lost": {"c1": 2}}),
        ("journal", "failed", "damaged", {"journal_trouble": ["c1: it is damaged"]}),
        ("journal", "unknown", "nobody else", {"expected": None}),
        ("delay", "warning", "at most 31.0 s", {"delays": {"c1": [0.1, 31.0]}}),
        ("delay", "failed", "c2 and this host", {"blind": ["c2"]}),
        ("delay", "unknown", "nobody else", {"delays": {}}),
        ("clocks", "warning", "c1: 90.0 s behind", {"nodes": [node("c1", ahead=-90.0)]}),
        ("clocks", "ok", "within", {"nodes": [node("c1", ahead=5.5, doubt=1.0)]}),
    ],
)  # fmt: skip
def test_each_thing_that_is_found_has_its_verdict(check, verdict, says, changes):
    """Nothing fails that workers bear; whatever isn't well comes with what to do."""
    found = of(check, findings(**changes))
    assert found.verdict == verdict, found
    assert says in found.found
    if verdict == "failed" and not changes.get("refused") and check != "processes":
        assert found.advice
    assert is_bad(verdicts(findings(**changes))) is (verdict == "failed")


def test_what_is_to_be_done_about_lost_appends():
    """Appends got lost on NFS 4 only, and there is nothing to be measured of a delay then."""
    found = findings(appended=58, lost={"c1": 2}, delays={})
    assert "vers=3" in of("journal", found).advice
    assert "got lost" in of("delay", found).found
    here = replace(LOGIN, file_system="gpfs", options={})
    found = findings(appended=58, lost={"c1": 2}, here=here, nodes=[])
    assert "another file system." in of("journal", found).advice


def test_a_mount_is_told_once():
    """Of hosts that have it mounted alike; else with the names of those that haven't."""
    told = [one for one in verdicts(findings()) if one.check == "mount"]
    assert [one.found.partition(" the lock")[0] for one in told] == ["NFS 4.2, hard", "NFS 4.2:"]
    other = node("c2", options={"vers": "3", "hard": ""})
    told = [one for one in verdicts(findings(nodes=[node("c1"), other])) if one.check == "mount"]
    shorts = [one.found for one in told if one.found.startswith(("NFS 3,", "NFS 4.2,"))]
    assert shorts == ["NFS 4.2, hard on login and c1", "NFS 3, hard on c2"]


def test_a_hint_that_is_known_is_the_advice():
    """Whoever met the error knows best what to do about it."""
    assert of("storage", findings(here=None, trouble="no", hint="Mount.")).advice == "Mount."
    told = of("database", findings(database_trouble="dead", database_hint="Mount it anew."))
    assert told.advice == "Mount it anew."
    dead = node("c1", trouble="is not connected", hint="Mount it anew there.")
    assert of("writing", findings(nodes=[dead])).advice == "Mount it anew there."


def test_a_flock_that_isnt_exclusive_is_to_be_a_lease():
    """The one thing that a user can do without the site's help."""
    parts = [LockReport("this host", 9, 4), LockReport("c1", 9, 4)]
    assert "lock: lease" in of("lock", findings(parts=parts)).advice
    assert "lock: lease" not in of("lock", findings(parts=parts, lock="lease")).advice


def test_nothing_else_is_said_of_a_storage_that_cant_be_used():
    told = verdicts(findings(here=None, trouble="no", slurm={}, nodes=[]))
    assert [one.check for one in told] == ["storage"]


def test_lines_and_record():
    """A line for each, with the advice beneath; and all of it as JSON."""
    found = findings(delays={"c1": [9.0]})
    told = verdicts(found)
    lines = list(diagnosis_lines(told))
    at = next(index for index, line in enumerate(lines) if line.startswith("warning"))
    assert lines[at] == "warning  delay        an append is seen after 9.0 s (at most 9.0 s)"
    assert lines[at + 1].startswith(" " * 22 + "It works")
    record = json.loads(json.dumps(diagnosis_record(found, told)))
    assert record["failed"] is False
    assert record["found"]["nodes"][0]["python"] == "3.11.2"
    assert [one["check"] for one in record["verdicts"]] == [one.check for one in told]
