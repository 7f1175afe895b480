"""Which setting wins, where it came from, and what the environment may set."""

# ruff: noqa: E501 - a row of a table is easier to read in one line, with the whole message.

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orion_hpc.config.document import read_yaml
from orion_hpc.config.resolve import (
    Layer,
    document_layer,
    environment_layer,
    explain,
    resolve,
)
from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError

BASIC = {"name": "x", "function": "m:f", "space": {"a": "uniform(0, 1)"}}


def settle(*mappings: dict[str, Any]) -> Settings:
    """Return the settings of ``mappings``, each in a layer labelled and based by its number."""
    layers = [Layer(f"layer {n}", m, Path(f"/base{n}")) for n, m in enumerate(mappings, 1)]
    return resolve([Layer("basic", BASIC, Path("/home"), home=True), *layers])


def test_the_four_sources(tmp_path: Path) -> None:
    """Defaults < environment < file < flags, each setting with its origin."""
    (tmp_path / "c.yaml").write_text(
        "name: x\nfunction: m:f\nspace: {a: 'uniform(0, 1)'}\nmax_trials: 2\nmax_broken: 2\n"
    )
    variables = {f"ORION_HPC_MAX_{name}": "1" for name in ("TRIALS", "BROKEN", "ATTEMPTS")}
    settings = resolve(
        [
            environment_layer(variables),
            document_layer(read_yaml(tmp_path / "c.yaml"), "c.yaml"),
            Layer("flags", {"max_trials": 3}, Path("/elsewhere")),
        ]
    )
    assert (settings.max_trials, settings.max_broken, settings.max_attempts) == (3, 2, 1)
    origins = {path: origin for path, _, origin in explain(settings)}
    assert origins["max_trials"] == "flags"
    assert origins["max_broken"] == "c.yaml, line 5"
    assert origins["max_attempts"] == "ORION_HPC_MAX_ATTEMPTS"
    assert origins["worker.n_workers"] == "defaults"
    assert settings.origin("space.a") == "c.yaml"
    assert settings.directory == tmp_path
    assert settings.storage == str(tmp_path / "db.pkl")


def test_defaults() -> None:
    """What nobody gave has the documented default."""
    settings = settle()
    assert settings.model_dump(exclude={"name", "function", "space", "slurm"}) == {
        "version": None,
        "command": None,
        "kwargs": {},
        "trial_arg": None,
        "algorithm": "random",
        "warm_start": None,
        "max_trials": None,
        "max_broken": 3,
        "max_attempts": 3,
        "storage": "/home/db.pkl",
        "lock": None,
        "allow_group": False,
        "working_dir": None,
        "snapshot": False,
        "template": None,
        "worker": {
            "n_workers": 1,
            "executor": "joblib",
            "heartbeat": 60.0,
            "idle_timeout": 60.0,
            "on_suspend": "auto",
            "grace": 60.0,
            "max_requeues": 100,
            "trial_time": "auto",
        },
    }
    assert set(settings.slurm.model_dump(exclude={"additional"}).values()) == {None}


def test_blocks_merge_key_by_key() -> None:
    """A later layer changes one key of a block and keeps the others, whatever the spelling."""
    settings = settle(
        {
            "worker": {"n_workers": 2, "heartbeat": 5},
            "slurm": {
                "cpus-per-task": 1,
                "qos": "a",
                "additional": {"nice": 1, "mail-type": "END"},
            },
        },
        {
            "worker": {"n_workers": 3},
            "slurm": {"cpus_per_task": 5, "additional": {"--mail_type": "ALL"}},
        },
    )
    assert (settings.worker.n_workers, settings.worker.heartbeat) == (3, 5.0)
    assert (settings.slurm.cpus_per_task, settings.slurm.qos) == (5, "a")
    assert settings.slurm.additional == {"nice": "1", "mail-type": "ALL"}
    assert settings.origin("slurm.qos") == "layer 1"
    assert settings.origin("slurm.cpus_per_task") == "layer 2"
    assert settings.origin("slurm.additional.mail-type") == "layer 2"
    assert settings.origin("slurm.partition") == "defaults"


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("space", {"b": "uniform(0, 1)"}, {"c": "uniform(0, 1)"}),
        ("kwargs", {"n": 1}, {"m": 2}),
        ("algorithm", {"random": {"seed": 1}}, {"random": {}}),
    ],
)
def test_other_mappings_are_replaced_whole(key: str, old: Any, new: Any) -> None:
    """Half of one space and half of another would be neither."""
    assert getattr(settle({key: old}, {key: new}), key) == new


def test_null_is_the_default_again() -> None:
    """A later null takes away what an earlier layer gave, a key or a block."""
    given = {"max_trials": 5, "max_broken": 9, "worker": {"n_workers": 2}}
    settings = settle(given, {"max_trials": None, "max_broken": None, "worker": None})
    assert (settings.max_trials, settings.max_broken, settings.worker.n_workers) == (None, 3, 1)
    assert settings.origin("max_broken") == "layer 2"


def test_a_later_choice_replaces_its_rival() -> None:
    """A flag ``--mem-per-cpu`` wins over the file's ``mem``, and a command over a function."""
    settings = settle({"slurm": {"mem": "2G"}}, {"slurm": {"mem-per-cpu": "1G"}, "command": ["a"]})
    assert (settings.slurm.mem, settings.slurm.mem_per_cpu) == (None, "1G")
    assert (settings.function, settings.command) == (None, ("a",))
    assert settings.origin("slurm.mem") == "defaults"


def test_paths_are_relative_to_their_giver() -> None:
    """A path in the file is meant from the file's directory, a flag's from the current one."""
    settings = settle({"storage": "a.pkl", "working_dir": "w"}, {"storage": "b.pkl"})
    assert (settings.storage, settings.working_dir) == ("/base2/b.pkl", "/base1/w")


def test_logs_are_relative_to_their_giver(monkeypatch: pytest.MonkeyPatch) -> None:
    """``output`` is a path like the others, whoever submits from where; placeholders stay."""
    monkeypatch.setenv("LOGS", "/logs")
    in_file = Layer("file", {"slurm": {"output": "logs/%A_%a.out"}}, Path("/project"), home=True)
    in_flag = Layer("flags", {"slurm": {"output": "$LOGS/%j.out"}}, Path("/here"))
    relative = Layer("flags", {"slurm": {"output": "%j.out"}}, Path("/here"))
    for layers, output in (
        ([in_file], "/project/logs/%A_%a.out"),
        ([in_file, relative], "/here/%j.out"),
        ([in_file, in_flag], "/logs/%j.out"),
    ):
        assert resolve(layers, needs=()).slurm.output == output


def test_settings_are_frozen() -> None:
    """Nobody changes a setting behind the precedence's back."""
    with pytest.raises(ValueError, match="frozen"):
        settle().max_trials = 3  # type: ignore[misc]


def test_needs() -> None:
    """A command that only reads does without what an experiment needs."""
    settings = resolve([Layer("flags", {"storage": "db.pkl"}, Path("/x"))], needs=())
    assert (settings.name, settings.space, settings.storage) == (None, None, "/x/db.pkl")


def test_no_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing given, the current directory is the experiment's."""
    monkeypatch.chdir(tmp_path)
    assert resolve([], needs=()).storage == str(tmp_path / "db.pkl")


def test_environment() -> None:
    """Names nest by two underscores, values are YAML's words, empty variables set nothing."""
    layer = environment_layer(
        {
            "HOME": "/root",
            "ORION_HPC_STORAGE": "~/a: b#.pkl",
            "ORION_HPC_WORKER": "{heartbeat: 5}",
            "ORION_HPC_WORKER__N_WORKERS": "2",
            "ORION_HPC_SLURM__TIME": "00:30:00",
            "ORION_HPC_SLURM__CPUS_PER_TASK": "5",
            "ORION_HPC_SLURM__ADDITIONAL__MAIL_TYPE": "END",
            "ORION_HPC_SPACE": "{a: 'uniform(0, 1)'}",
            "ORION_HPC_MAX_TRIALS": "",
        }
    )
    assert layer.mapping == {
        "storage": "~/a: b#.pkl",
        "worker": {"heartbeat": 5, "n_workers": 2},
        "slurm": {"time": "00:30:00", "cpus_per_task": 5, "additional": {"mail_type": "END"}},
        "space": {"a": "uniform(0, 1)"},
    }


def test_variables_that_are_no_settings() -> None:
    """What a trial's script and the test command are given changes no setting."""
    ours = ("TRIAL_ID", "WORKING_DIR", "RESULTS_PATH")
    assert environment_layer({f"ORION_HPC_{name}": "x" for name in ours}).mapping == {}
    assert environment_layer({"ORION_HPC_WORKING_DIR": "x"}).mapping == {"working_dir": "x"}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MAX_TRAILS": "1"}, "the environment variable ORION_HPC_MAX_TRAILS isn't a setting (did you mean ORION_HPC_MAX_TRIALS?)"),
        ({"WORKER__N_WORKER": "1"}, "the environment variable ORION_HPC_WORKER__N_WORKER isn't a setting (did you mean ORION_HPC_WORKER__N_WORKERS?)"),
        ({"WORKER__N_WORKERS__X": "1"}, "the environment variable ORION_HPC_WORKER__N_WORKERS__X isn't a setting (did you mean ORION_HPC_WORKER__N_WORKERS?)"),
        ({"": "1"}, "the environment variable ORION_HPC_ isn't a setting"),
        ({"SPACE__A": "x"}, "ORION_HPC_SPACE__A sets a part of space, which can only be set as a whole"),
        ({"WORKER": "5", "WORKER__N_WORKERS": "1"}, "ORION_HPC_WORKER__N_WORKERS and ORION_HPC_WORKER contradict each other"),
        ({"SPACE": "{a: "}, "ORION_HPC_SPACE doesn't parse: line 1, column 5: expected the node content, but found '<stream end>'"),
    ],
)  # fmt: skip
def test_wrong_variables(environ: dict[str, str], message: str) -> None:
    """A variable that can't be meant is refused by its name."""
    with pytest.raises(ConfigurationError) as caught:
        environment_layer({f"ORION_HPC_{name}": value for name, value in environ.items()})
    assert caught.value.message == message


def test_a_wrong_value_names_the_variable() -> None:
    """The place of a value from the environment is its variable."""
    with pytest.raises(ConfigurationError) as caught:
        resolve([environment_layer({"ORION_HPC_WORKER__N_WORKERS": "no"})], needs=())
    assert str(caught.value) == (
        "ORION_HPC_WORKER__N_WORKERS: worker.n_workers is false; "
        "expected a whole number of at least 1"
    )


def test_a_wrong_flag_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    """The place is that of the layer whose value won, also where the file has the key too."""
    (tmp_path / "c.yaml").write_text("slurm: {time: 10}\nspace: {a: 'uniform(0, 1)'}\n")
    flags = Layer("flags", {"slurm": {"time": "x"}, "space": {"a": "?"}}, tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        resolve([document_layer(read_yaml(tmp_path / "c.yaml"), "c.yaml"), flags], needs=())
    assert caught.value.message.count("  flags: ") == 2
    assert "c.yaml" not in caught.value.message


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("asha", "algorithm asha needs a fidelity"),
        ("{grid: {n_values: {y: 3}}}", "n_values names 'y', which isn't a dimension"),
    ],
)
def test_an_algorithm_that_can_not_search_the_space_is_told_with_its_line(
    tmp_path: Path, algorithm: str, message: str
) -> None:
    """Who only asks for a name needn't have the algorithm at all."""
    path = tmp_path / "c.yaml"
    path.write_text(
        f"name: e\nspace: {{x: 'uniform(0, 1)'}}\nfunction: a:b\nalgorithm: {algorithm}\n"
    )
    layers = [document_layer(read_yaml(path))]
    with pytest.raises(ConfigurationError) as caught:
        resolve(layers)
    assert f"c.yaml, line 4: {message}" in caught.value.message
    path.write_text(path.read_text().replace(algorithm, "of_a_package_that_is_gone"))
    assert resolve([document_layer(read_yaml(path))], needs=()).name == "e"
