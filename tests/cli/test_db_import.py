"""``orion-hpc db import``: what a user sees, and that the imported experiment goes on."""

from __future__ import annotations

import json
import os
import pickle
import shlex
from pathlib import Path

import pytest

from tests.rigs.command import orion_hpc, project, status_of
from tests.rigs.orion_file import EXPERIMENT, GENUINE, STATUSES, make, trial

pytestmark = pytest.mark.usefixtures("no_slurm")

GOING_ON = """\
name: old
function: quick:main
space: {x: "uniform(0, 1)"}
algorithm: {random: {seed: 7}}
max_trials: 6
worker: {executor: single, heartbeat: 5, idle_timeout: 30}
"""


def old_file(tmp_path: Path, experiments=None, trials=()) -> Path:
    """Make a database file of Oríon's."""
    path = tmp_path / "old.pkl"
    path.write_bytes(make(experiments, list(trials)))
    return path


def refused(tmp_path: Path, *words: str | Path, code: int = 2) -> str:
    """Import, expect a refusal that writes nothing, and return what it says."""
    before = sorted(os.listdir(tmp_path))
    done = orion_hpc("db", "import", *words, "--storage", "db.pkl", cwd=tmp_path)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == before
    return done.stderr


def test_the_genuine_file_is_imported_and_shown(tmp_path):
    """A line for each experiment, what isn't as it was, and what to type next."""
    done = orion_hpc("db", "import", GENUINE, "--storage", "./db.pkl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-2:] == [
        "Imported svm-digits v1: 28 trials (25 completed, 3 broken).",
        f"Next: orion-hpc status --storage {tmp_path}/db.pkl",
    ]
    assert lines[0] == "Imported nested v1: 12 trials (12 completed)."
    assert done.stderr == ""
    assert (tmp_path / "db.pkl").stat().st_mode & 0o777 == 0o600
    shown = orion_hpc("status", "--storage", "db.pkl", "--json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    first, second = json.loads(shown.stdout)["experiments"]
    assert (first["name"], first["trials"]["completed"]) == ("nested", 12)
    assert (second["name"], second["max_trials"], second["max_broken"]) == ("svm-digits", 25, 5)
    known = json.loads(GENUINE.with_suffix(".json").read_text())[0]["trials"]
    best = min((one for one in known if one["results"]), key=lambda one: one["results"][0]["value"])
    assert second["best"]["id"] == best["id"]
    assert second["best"]["params"] == best["params"]
    table = orion_hpc("status", "--storage", "db.pkl", cwd=tmp_path)
    assert table.returncode == 0
    assert "svm-digits v1  done   25/25" in table.stdout


def test_json_tells_the_same(tmp_path):
    """For a program, with every status and the notes."""
    done = orion_hpc(
        "db", "import", STATUSES, "--storage", "db.pkl", "--name", "statuses", "--version", "1",
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(done.stdout) == {
        "storage": f"{tmp_path}/db.pkl",
        "experiments": [
            {
                "name": "statuses",
                "version": 1,
                "new": True,
                "trials": {
                    "new": 0,
                    "reserved": 0,
                    "suspended": 1,
                    "completed": 3,
                    "interrupted": 3,
                    "broken": 1,
                },
                "notes": [
                    "Trials reserved in Oríon by workers that aren't ours, and interrupted here: 1."
                ],
            }
        ],
    }


def test_submit_goes_on_with_an_imported_experiment(tmp_path):
    """What was reserved is run again with its id, the history counts, and new trials follow."""
    config = project(tmp_path / "p", GOING_ON)
    trials = [trial(0), trial(1, status="reserved"), trial(2, status="new"), trial(3)]
    old = old_file(tmp_path, trials=trials)
    imported = orion_hpc("db", "import", old, "--storage", config.parent / "db.pkl")
    assert imported.returncode == 0, imported.stderr
    done = orion_hpc("submit", config)
    assert done.returncode == 0, done.stderr
    assert "Experiment old v1 goes on: 2 trials are completed" in done.stderr
    assert "Changed max_trials: 10 -> 6." in done.stderr
    assert "Done: 6 trials are completed." in done.stdout
    status = status_of(config)
    assert status["trials"]["completed"] == 6
    assert status["best"]["id"] == f"{0:032x}"
    again = orion_hpc("submit", config)
    assert again.returncode == 0
    assert "Done: 6 trials are completed." in again.stdout


def test_a_worker_does_not_run_what_nobody_submitted(tmp_path):
    """It says what is missing."""
    orion_hpc("db", "import", old_file(tmp_path), "--storage", "db.pkl", cwd=tmp_path)
    done = orion_hpc("worker", "--storage", "db.pkl", "--name", "old", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "Error: nothing says what its trials run of the experiment 'old': it was imported, or made "
        "by a Python program",
        "'orion-hpc submit CONFIG' does, with the same name, space and algorithm.",
    ]


def test_the_same_import_again_is_refused(tmp_path):
    """With exit code 2 and both ways out."""
    old = old_file(tmp_path, trials=[trial(0)])
    first = orion_hpc("db", "import", old, cwd=tmp_path)
    assert first.returncode == 0
    assert first.stdout.splitlines() == [
        "Imported old v1: 1 trial (1 completed).",
        f"Next: orion-hpc status --storage {tmp_path}/db.pkl",
    ]
    told = refused(tmp_path, old)
    assert told.splitlines() == [
        f"Error: old v1 was imported into {tmp_path}/db.pkl before",
        f"'orion-hpc status --storage {tmp_path}/db.pkl' shows its state; import into another "
        "database with --storage.",
    ]


@pytest.mark.parametrize("source", [GENUINE, None], ids=["genuine", "made"])
@pytest.mark.parametrize(
    "words",
    [
        ("submit", "p/config.yaml", "--executor", "debug", "--storage", "OLD"),
        ("status", "--storage", "OLD"),
        ("db", "check", "OLD"),
        ("db", "info", "OLD"),
        ("db", "repair", "OLD"),
        ("db", "export", "OLD", "--format", "csv"),
        ("db", "set", "OLD", "--status", "broken", "--to", "new"),
        ("db", "rm", "OLD", "--yes"),
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_a_database_of_orions_in_place_of_ours_is_told_with_its_import(tmp_path, words, source):
    """The command in the error can be pasted, and makes what the other line names."""
    project(tmp_path / "p")
    old = tmp_path / "my db.pkl"
    content = make() if source is None else source.read_bytes()
    old.write_bytes(content)
    done = orion_hpc(*(str(old) if word == "OLD" else word for word in words), cwd=tmp_path)
    assert done.returncode == 2
    told, pasted, then = done.stderr.splitlines()
    assert told == f"Error: {old} is a database of Oríon and not of orion-hpc"
    command = shlex.split(pasted.removeprefix("Import its experiments into a new file with: "))
    assert command[:4] == ["orion-hpc", "db", "import", str(old)]
    done = orion_hpc(*command[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    flag, new = shlex.split(then.removeprefix("Then use it with: "))
    assert orion_hpc("status", flag, new).returncode == 0
    assert old.read_bytes() == content


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"name: old\n", "isn't a database of Oríon: it isn't a whole pickle"),
        (GENUINE.read_bytes()[:100_000], "isn't a database of Oríon: it isn't a whole pickle"),
        (pickle.dumps([1, 2]), "isn't a database of Oríon: there is no EphemeralDB where one"),
        (
            b"cos\nsystem\n(S'touch executed'\ntR.",
            "isn't a database of Oríon: it names 'os.system'",
        ),
        (
            GENUINE.read_bytes().replace(b"\x8c\x08datetime\x94\x8c\x08datetime",
                                         b"\x8c\x08builtins\x94\x8c\x04eval\x8c\x02ab0"),
            "isn't a database of Oríon: it ",
        ),
    ],
    ids=["empty", "text", "cut", "another pickle", "hostile", "hostile inside"],
)  # fmt: skip
def test_what_is_no_database_of_orions_is_refused(tmp_path, data, told):
    """One clear sentence, exit code 2, nothing written, nothing run."""
    old = tmp_path / "old.pkl"
    old.write_bytes(data)
    message, hint = refused(tmp_path, old).splitlines()
    assert message.startswith(f"Error: {old} {told}")
    assert hint.startswith("Nothing in it was run.")


def test_what_can_not_be_found_is_refused(tmp_path):
    """The file; the experiment in it."""
    assert f"can't read {tmp_path}/none.pkl: No such file" in refused(
        tmp_path, tmp_path / "none.pkl"
    )
    told = refused(tmp_path, old_file(tmp_path), "--name", "odl")
    assert told.splitlines() == [
        f"Error: there is no experiment 'odl' in {tmp_path}/old.pkl (did you mean old?)",
        "There are: old.",
    ]
    assert "Usage" in refused(tmp_path)


def test_a_database_that_can_not_be_written_is_told(tmp_path):
    """Nothing is left of the attempt."""
    old = old_file(tmp_path, [EXPERIMENT])
    done = orion_hpc("db", "import", old, "--storage", "/proc/none/db.pkl", cwd=tmp_path)
    assert done.returncode == 2
    assert "can't create" in done.stderr
    assert "Traceback" not in done.stderr
