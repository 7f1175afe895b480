"""What Oríon's variables and files give, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from orion_hpc.config.orion_settings import orion_settings
from orion_hpc.config.resolve import Layer, environment_layer, resolve
from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError


def found(
    tmp_path: Path, variables: Mapping[str, str], own: str = "", above: str = "", **flags: object
) -> tuple[Settings, list[str]]:
    """Return the settings of these variables and files of Oríon, and the notes."""
    environ = {
        "XDG_CONFIG_HOME": str(tmp_path / "own"),
        "XDG_CONFIG_DIRS": f"{tmp_path}/above:/nowhere",
        **variables,
    }
    for folder, text in (("own", own), ("above", above)):
        place = tmp_path / folder / "orion.core"
        place.mkdir(parents=True)
        if text:
            (place / "orion_config.yaml").write_text(text)
    theirs = orion_settings(environ, tmp_path)
    ours = environment_layer(environ, tmp_path)
    settings = resolve([theirs.layer, ours, Layer("flags", flags, tmp_path)], needs=())
    return settings, list(theirs.notes(settings, creates=True))


def test_without_any_nothing_is_said(tmp_path):
    """Neither by our variables nor by those of a trial."""
    trial = {"ORION_TRIAL_ID": "a", "ORION_EXPERIMENT_NAME": "e", "ORION_RESULTS_PATH": "/r",
             "ORION_WORKING_DIR": "/trial", "ORION_HPC_MAX_TRIALS": "3"}  # fmt: skip
    settings, notes = found(tmp_path, trial)
    assert notes == []
    assert (settings.working_dir, settings.max_trials) == (None, 3)


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("ORION_DB_ADDRESS", "old.pkl", "storage", "{}/old.pkl"),
        ("ORION_EXP_MAX_TRIALS", "9", "max_trials", 9),
        ("ORION_EXP_MAX_BROKEN", "2", "max_broken", 2),
        ("ORION_WORKING_DIR", "w", "working_dir", "{}/w"),
        ("ORION_N_WORKERS", "4", "worker.n_workers", 4),
        ("ORION_EXECUTOR", "PoolExecutor", "worker.executor", "poolexecutor"),
        ("ORION_HEARTBEAT", "120", "worker.heartbeat", 120),
        ("ORION_IDLE_TIMEOUT", "5", "worker.idle_timeout", 5),
    ],
)
def test_a_variable_with_a_meaning_is_used_with_a_note(tmp_path, variable, text, path, value):
    """Ours of the same meaning, or a flag, takes its place without a note."""
    settings, notes = found(tmp_path / "a", {variable: text})
    value = value.format(tmp_path / "a") if isinstance(value, str) else value
    assert settings.place(path) == variable
    (note,) = notes
    assert note.startswith(f"{path} is {value}")
    assert note.endswith(f", from {variable}")

    ours = f"ORION_HPC_{path.replace('.', '__').upper()}"
    settings, notes = found(tmp_path / "b", {variable: text, ours: text})
    assert settings.place(path) == ours
    assert notes == []


def test_the_type_of_a_database_decides_on_its_address(tmp_path):
    """A mongodb can't be used: its address isn't taken for a path, and that is said."""
    address = {"ORION_DB_ADDRESS": "mongodb://host", "ORION_DB_TYPE": "MongoDB"}
    settings, notes = found(tmp_path / "a", address)
    assert settings.storage == f"{tmp_path}/a/db.pkl"
    assert notes == [
        "ORION_DB_TYPE names a database of type 'MongoDB', which orion-hpc can't use; the database "
        f"is {tmp_path}/a/db.pkl"
    ]
    assert found(tmp_path / "b", address, storage="x.pkl")[1] == []
    pickled = {"ORION_DB_ADDRESS": "x.pkl", "ORION_DB_TYPE": "PickledDB"}
    assert found(tmp_path / "c", pickled)[0].storage == f"{tmp_path}/c/x.pkl"
    assert found(tmp_path / "d", {"ORION_DB_TYPE": "pickleddb"})[1] == []
    assert found(tmp_path / "e", {"ORION_DB_ADDRESS": "7"})[0].storage == f"{tmp_path}/e/7"


def test_what_has_no_meaning_is_named(tmp_path):
    """In one sentence for the variables, and one for each file."""
    _, notes = found(
        tmp_path,
        {"ORION_EVC_ENABLE": "1", "ORION_DB_PORT": "1", "ORION_EXP_MAX_TRIALS": "inf"},
        own="experiment: {algorithm: tpe}\nevc: {enable: true}\ndebug: true\n",
    )
    assert notes == [
        "orion-hpc doesn't read experiment.algorithm, evc.enable, debug of "
        f"{tmp_path}/own/orion.core/orion_config.yaml",
        "orion-hpc doesn't read ORION_DB_PORT, ORION_EVC_ENABLE",
    ]


def test_files_are_weaker_than_variables(tmp_path):
    """The user's over the machine's, both in the old form of the database and the new one."""
    settings, notes = found(
        tmp_path,
        {"ORION_EXP_MAX_TRIALS": "9"},
        own="database: {type: pickleddb, host: sub/own.pkl}\nexperiment: {max_trials: 8}\n",
        above="storage: {type: legacy, database: {host: a.pkl}}\nworker: {n_workers: 3}\n"
        "experiment: {max_trials: 7, working_dir: ''}\n",
    )
    assert settings.storage == f"{tmp_path}/sub/own.pkl"
    assert (settings.max_trials, settings.worker.n_workers, settings.working_dir) == (9, 3, None)
    assert notes == [
        "max_trials is 9, from ORION_EXP_MAX_TRIALS",
        f"storage is {tmp_path}/sub/own.pkl, from {tmp_path}/own/orion.core/orion_config.yaml",
        f"worker.n_workers is 3, from {tmp_path}/above/orion.core/orion_config.yaml",
    ]


@pytest.mark.parametrize("text", ["a: [", "- 1", "database: 3", "storage: [1]", "experiment:"])
def test_a_strange_file_stops_nothing(tmp_path, text):
    """It is another program's."""
    settings, _ = found(tmp_path, {}, own=text)
    assert settings.storage == f"{tmp_path}/db.pkl"


def test_a_wrong_value_is_named_by_its_variable(tmp_path):
    """As one of ours."""
    with pytest.raises(ConfigurationError, match=r"ORION_HEARTBEAT: worker\.heartbeat is -1"):
        found(tmp_path, {"ORION_HEARTBEAT": "-1"})
