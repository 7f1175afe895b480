"""Every wrong setting is one sentence with its place and what was expected."""

# ruff: noqa: E501 - a row of a table is easier to read in one line, with the whole message.

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orion_hpc.config.document import read_yaml
from orion_hpc.config.resolve import document_layer, resolve
from orion_hpc.config.settings import Settings, SlurmOptions, WorkerOptions
from orion_hpc.errors import ConfigurationError

BASIC = "name: x\nfunction: m:f\nspace: {a: 'uniform(0, 1)'}\n"
LAUNCHERS = "can't be used: sbatch has to submit the workers and say so"
TRIAL_TIME = "expected auto, off, or seconds, or a time such as 00:30:00"
COUNT = "expected a whole number of at least 1"
NAME = "expected at most 1,000 printable characters"
COMMAND = 'expected a list of words, as in ["python", "train.py", "--lr", "{lr}"]'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path ``c.yaml`` in an empty current directory."""
    monkeypatch.chdir(tmp_path)
    return Path("c.yaml")


def load(path: Path, text: str) -> Settings:
    path.write_text(text)
    return resolve([document_layer(read_yaml(path))])


def refusal(path: Path, text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(path, text)
    return caught.value


def test_the_tutorial(config: Path) -> None:
    """The configuration of the tutorial is read as it is written."""
    read = load(
        config,
        """
name: svm-digits
function: svm:main                  # module:function, found beside this file
space:
  C: loguniform(1e-6, 1e6)
  gamma: loguniform(1e-8, 1e8)
  tol: loguniform(1e-4, 1e-1)
  class_weight: choices([None, 'balanced'])
algorithm: random                   # or {random: {seed: 1}}
max_trials: 20
storage: {type: legacy, database: {type: pickleddb, host: ./db.pkl}}     # or simply: ./db.pkl
worker: {n_workers: 1, executor: joblib, heartbeat: 60}
slurm: {time: "00:30:00", mem: 2G}
""",
    )
    assert (read.name, read.function, read.algorithm) == ("svm-digits", "svm:main", "random")
    assert read.max_trials == 20
    assert read.storage == str(config.absolute().with_name("db.pkl"))
    assert read.worker == WorkerOptions(n_workers=1, executor="joblib", heartbeat=60)
    assert read.slurm == SlurmOptions(time="00:30:00", mem="2G")
    assert read.slurm.time_limit == 1800
    assert set(read.parsed_space.configuration) == {"C", "gamma", "tol", "class_weight"}


@pytest.mark.parametrize(
    ("line", "path", "value"),
    [
        ("name: 7", "name", "7"),
        ("name: é.b-c_1", "name", "é.b-c_1"),
        ("name: a b", "name", "a b"),
        ("name: -x", "name", "-x"),
        ("name: ../a/lr=0.1", "name", "../a/lr=0.1"),
        ("version: 2", "version", 2),
        ("function: a.b:c.d", "function", "a.b:c.d"),
        ("max_trials: null", "max_trials", None),
        ("kwargs: {n: 1e-3, deep: {1: [a]}}", "kwargs", {"n": 0.001, "deep": {1: ["a"]}}),
        ("algorithm: {random: {seed: 1}}", "algorithm", {"random": {"seed": 1}}),
        ("lock: lease", "lock", "lease"),
        ("allow_group: true", "allow_group", True),
        ("worker: {idle_timeout: 0}", "worker.idle_timeout", 0.0),
        ("worker: {grace: 0}", "worker.grace", 0.0),
        ("worker: {max_requeues: 0}", "worker.max_requeues", 0),
        ("worker: {on_suspend: keep}", "worker.on_suspend", "keep"),
        ("worker: {trial_time: off}", "worker.trial_time", "off"),
        ("worker: {trial_time: 'off'}", "worker.trial_time", "off"),
        ("worker: {trial_time: auto}", "worker.trial_time", "auto"),
        ("worker: {trial_time: 90.5}", "worker.trial_time", 90.5),
        ("worker: {trial_time: 00:30:00}", "worker.trial_time", 1800),
        ("worker: {trial_time: '00:30:00'}", "worker.trial_time", 1800),
        ("worker: {trial_time: '1-00:00'}", "worker.trial_time", 86400),
        ("slurm: {array: 10}", "slurm.array_size", (10, None)),
        ("slurm: {array: 0-9%4}", "slurm.array", "0-9%4"),
        ("slurm: {time: 30}", "slurm.time", "30"),
        ("slurm: {time: 00:30:00}", "slurm.time", "00:30:00"),
        ("slurm: {time: 1-12}", "slurm.time_limit", 129_600),
        ("slurm: {mem: 500}", "slurm.mem", "500"),
        ("slurm: {mem-per-cpu: 2G}", "slurm.mem_per_cpu", "2G"),
        ("slurm: {cpus-per-task: '5'}", "slurm.cpus_per_task", 5),
        ("slurm: {account: 00123}", "slurm.account", "00123"),
        ("slurm: {partition: 7}", "slurm.partition", "7"),
        ("slurm: {gpus-per-node: 1}", "slurm.gpus_per_node", "1"),
        ("slurm: null", "slurm.time", None),
        (
            "slurm: {additional: {--mail_type: END, exclusive: true, hold: false, nice: 5}}",
            "slurm.additional",
            {"mail-type": "END", "exclusive": True, "nice": "5"},
        ),
    ],
)
def test_accepted(config: Path, line: str, path: str, value: Any) -> None:
    """Each form that is documented is taken, and kept as the user wrote it."""
    key = line.partition(":")[0]
    kept = "\n".join(row for row in BASIC.splitlines() if not row.startswith(f"{key}:"))
    found: Any = load(config, f"{kept}\n{line}\n")
    for part in path.split("."):
        found = getattr(found, part)
    assert (found, type(found)) == (value, type(found) if found == value else type(value))


def test_a_command(config: Path) -> None:
    """The words of a command are texts, whole numbers among them, and may be empty."""
    text = "name: x\nspace: {lr: 'uniform(0, 1)'}\ncommand: [python, t.py, --n, 3, '', '{lr}']\n"
    assert load(config, text).command == ("python", "t.py", "--n", "3", "", "{lr}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max_trails: 20", "unknown key 'max_trails' (did you mean max_trials?)"),
        ("zebra: 20", "unknown key 'zebra'"),
        ("5: 20", "unknown key 5"),
        ("on: 20", "unknown key True"),
        ("max_trials: 0", "max_trials is 0; expected a whole number of at least 1, or null for no limit"),
        ("max_trials: '5'", "max_trials is '5'; expected a whole number of at least 1, or null for no limit"),
        ("max_trials: 5.0", "max_trials is 5.0; expected a whole number of at least 1, or null for no limit"),
        ("max_trials: true", "max_trials is true; expected a whole number of at least 1, or null for no limit"),
        ("max_broken: -1", f"max_broken is -1; {COUNT}"),
        ("max_attempts: [3]", f"max_attempts is [3]; {COUNT}"),
        ("version: 1.5", f"version is 1.5; {COUNT}"),
        ("kwargs: [1]", "kwargs is [1]; expected a mapping of names of arguments to constants"),
        ("kwargs: {1: 2}", "kwargs is {1: 2}; 1 can't be the name of an argument"),
        ("kwargs: {a-b: 2}", "kwargs is {a-b: 2}; 'a-b' can't be the name of an argument"),
        ("kwargs: {a: 2}", "kwargs.a is also a dimension of the space"),
        ("trial_arg: a", "trial_arg names 'a', which is also a dimension of the space"),
        ("trial_arg: a b", "trial_arg is 'a b'; expected the name of an argument of the function"),
        ("trial_arg: 5", "trial_arg is 5; expected the name of an argument of the function"),
        ("algorithm: 5", "algorithm is 5; expected a name, as in random, or a mapping, as in {random: {seed: 1}}"),
        ("storage: {type: mongodb}", "storage is {type: 'mongodb'}; there is no storage of type 'mongodb': there is pickleddb, a file"),
        ("storage: 5", "storage is 5; expected a path"),
        ("storage: $NOBODY_SET/db", "storage is '$NOBODY_SET/db'; the environment variable NOBODY_SET isn't set"),
        ("lock: posix", "lock is 'posix'; expected flock, flock-database or lease, or null for what suits the file system"),
        ("allow_group: maybe", "allow_group is 'maybe'; expected true or false"),
        ("working_dir: [a]", "working_dir is ['a']; expected a path"),
        ("worker: 5", "worker is 5; expected a mapping, as in {n_workers: 1}"),
        ("worker: {n_workers: 0}", f"worker.n_workers is 0; {COUNT}"),
        ("worker: {n_workers: two}", f"worker.n_workers is 'two'; {COUNT}"),
        ("worker: {n_worker: 2}", "unknown key 'worker.n_worker' (did you mean n_workers?)"),
        ("worker: {heartbeat: 0}", "worker.heartbeat is 0; expected seconds, more than 0"),
        ("worker: {heartbeat: .inf}", "worker.heartbeat is inf; expected seconds, more than 0"),
        ("worker: {heartbeat: true}", "worker.heartbeat is true; expected seconds, more than 0"),
        ("worker: {idle_timeout: -1}", "worker.idle_timeout is -1; expected seconds, 0 or more"),
        ("worker: {grace: -1}", "worker.grace is -1; expected seconds, 0 or more"),
        ("worker: {on_suspend: 60}", "worker.on_suspend is 60; expected auto, keep or release"),
        ("worker: {max_requeues: -1}", "worker.max_requeues is -1; expected a whole number, 0 or more"),
        ("worker: {trial_time: 0}", f"worker.trial_time is 0; {TRIAL_TIME}"),
        ("worker: {trial_time: true}", f"worker.trial_time is true; {TRIAL_TIME}"),
        ("worker: {trial_time: '30'}", "worker.trial_time is '30'; write seconds without quotes, or a time with ':'"),
        ("worker: {trial_time: soon}", f"worker.trial_time is 'soon'; {TRIAL_TIME}"),
        ("worker: {trial_time: unlimited}", f"worker.trial_time is 'unlimited'; {TRIAL_TIME}"),
        ("worker: {executor: [x]}", "worker.executor is ['x']; expected the name of an executor, such as joblib"),
        ("slurm: [time]", "slurm is ['time']; expected a mapping, as in {time: \"00:30:00\", mem: 2G}"),
        ("slurm: {partitoin: x}", "unknown key 'slurm.partitoin' (did you mean partition?)"),
        ("slurm: {array: ten}", "slurm.array is 'ten'; expected a number of tasks, as in 10 or 10%4, or indices, as in 0-9%4"),
        ("slurm: {array: true}", "slurm.array is true; expected a number of tasks, as in 10 or 10%4"),
        ("slurm: {cpus-per-task: 0}", f"slurm.cpus_per_task is 0; {COUNT}"),
        ("slurm: {cpus-per-task: true}", f"slurm.cpus_per_task is true; {COUNT}"),
        ("slurm: {time: half}", "slurm.time is 'half'; expected minutes, mm:ss, hh:mm:ss, d-hh, d-hh:mm, d-hh:mm:ss or UNLIMITED"),
        ("slurm: {time: 1.5}", "slurm.time is 1.5; put it in quotes to make it a text"),
        ("slurm: {mem: lots}", "slurm.mem is 'lots'; expected a whole number with K, M, G or T, such as 2G (M if left out)"),
        ("slurm: {mem: 2G, mem-per-cpu: 1G}", "slurm.mem and slurm.mem_per_cpu are both given; sbatch takes one of them"),
        ("slurm: {partition: true}", "slurm.partition is true; expected the name of a partition"),
        ("slurm: {partition: ''}", "slurm.partition is ''; expected a text of printable characters"),
        ('slurm: {output: "a\\n#SBATCH -p x"}', "slurm.output is 'a\\n#SBATCH -p x'; expected a text of printable characters"),
        ("slurm: {cpus-per-task: 1, cpus_per_task: 2}", "slurm.cpus_per_task is given twice, as 'cpus-per-task' and as 'cpus_per_task'"),
        ("slurm: {additional: [x]}", "slurm.additional is ['x']; expected a mapping of other options of sbatch to their values"),
        ("slurm: {additional: {nice: [1]}}", "slurm.additional is {nice: [1]}; 'nice' is [1]; expected a text, a whole number or true"),
        ("slurm: {additional: {nice: 1.5}}", "slurm.additional is {nice: 1.5}; 'nice' is 1.5; put it in quotes to make it a text"),
        ("slurm: {additional: {-c: 5}}", "slurm.additional is {c: 5}; 'c' isn't the long name of an option of sbatch, as in mail-type"),
        ("slurm: {additional: {mem: 2G}}", "slurm.additional is {mem: '2G'}; 'mem' has its own place: write slurm.mem"),
        ("slurm: {additional: {array: 5}}", "slurm.additional is {array: 5}; 'array' has its own place: use --array N, or write slurm.array"),
        ("slurm: {additional: {wait: true}}", f"slurm.additional is {{wait: true}}; 'wait' {LAUNCHERS}"),
        ("slurm: {additional: {parsabl: true}}", f"slurm.additional is {{parsabl: true}}; 'parsabl' {LAUNCHERS}"),
        ("slurm: {additional: {test-only: true}}", f"slurm.additional is {{test-only: true}}; 'test-only' {LAUNCHERS}"),
        ("slurm: {additional: {chdir: /x}}", f"slurm.additional is {{chdir: '/x'}}; 'chdir' {LAUNCHERS}"),
        ("slurm: {additional: {use_srun: false}}", "slurm.additional is {use-srun: false}; 'use-srun' isn't an option of sbatch"),
        ("slurm: {additional: {setup: x}}", "slurm.additional is {setup: 'x'}; 'setup' isn't an option of sbatch"),
        ("command: [a]", "function and command are both given; a trial runs one of them"),
    ],
)  # fmt: skip
def test_refused(config: Path, line: str, message: str) -> None:
    """A fault is one sentence: file and line, path, what was given, what is expected."""
    assert refusal(config, f"{BASIC}{line}\n").message == f"c.yaml, line 4: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("function: m:f\nspace: {a: 'uniform(0, 1)'}", "c.yaml: name is missing"),
        ("function: m:f\nname: x", "c.yaml: space is missing"),
        ("name: x\nspace: {a: 'uniform(0, 1)'}", "c.yaml: function (or command) is missing"),
        ("name: x\nfunction: m:f\nspace: {}", "c.yaml, line 3: space is empty"),
        ("name: x\nfunction: m:f\nspace: 5", "c.yaml, line 3: space is 5; expected a mapping of names to priors, as in {lr: \"loguniform(1e-5, 1)\"}"),
        ("name: x\nfunction: m:f\nspace: {5: 'uniform(0, 1)'}", "c.yaml, line 3: 5 isn't a text, as the name of a dimension must be"),
        (f"name: {'x' * 1001}\n" + BASIC[8:], f"c.yaml, line 1: name is '{'x' * 58}…; {NAME}"),
        ('name: "a\\n"\n' + BASIC[8:], "c.yaml, line 1: name is 'a\\n'; expected a text of printable characters"),
        ("name: 1.10\n" + BASIC[8:], "c.yaml, line 1: name is 1.1; put it in quotes to make it a text"),
        (BASIC.replace("m:f", "svm.main"), "c.yaml, line 2: function is 'svm.main'; expected module:function (did you mean svm:main?)"),
        (BASIC.replace("m:f", "svm.py:main"), "c.yaml, line 2: function is 'svm.py:main'; expected module:function (did you mean svm:main?)"),
        (BASIC.replace("m:f", "main"), "c.yaml, line 2: function is 'main'; expected module:function, as in svm:main"),
        (BASIC.replace("m:f", "a:b()"), "c.yaml, line 2: function is 'a:b()'; expected module:function, as in svm:main"),
        (BASIC.replace("m:f", "[m]"), "c.yaml, line 2: function is ['m']; expected module:function, as in svm:main"),
        (BASIC.replace("function: m:f", "command: python t.py"), f"c.yaml, line 2: command is 'python t.py'; {COMMAND}"),
        (BASIC.replace("function: m:f", "command: []"), f"c.yaml, line 2: command is []; {COMMAND}"),
        (BASIC.replace("function: m:f", "command: [a, [b]]"), f"c.yaml, line 2: command is ['a', ['b']]; {COMMAND}"),
        (BASIC.replace("function: m:f", "command: [a, 0.10]"), "c.yaml, line 2: command is ['a', 0.1]; put 0.1 in quotes, so that it is passed on as you write it"),
        (BASIC.replace("function: m:f", "command: [a]\nkwargs: {n: 1}"), "c.yaml, line 3: kwargs is given with a command; only a function has arguments"),
        (BASIC.replace("function: m:f", "command: [a]\ntrial_arg: t"), "c.yaml, line 3: trial_arg is given with a command; only a function has arguments"),
    ],
)  # fmt: skip
def test_refused_as_a_whole(config: Path, text: str, message: str) -> None:
    """What is missing, and what the name, the space and the thing to run must be."""
    assert refusal(config, text).message == message


@pytest.mark.parametrize("space", ["{a: nonsense(1)}", "{a: 'uniform(0'}", "{a: null}", "{a: 5}"])
def test_a_wrong_prior_has_its_line(config: Path, space: str) -> None:
    """The space's own message about a prior is told with the prior's line."""
    text = f"name: x\nfunction: m:f\nspace:\n  b: uniform(0, 1)\n  {space[1:-1]}\n"
    assert refusal(config, text).message.startswith("c.yaml, line 5: ")


def test_an_unknown_algorithm_has_its_line(config: Path) -> None:
    """So is the algorithms' message about a name."""
    assert refusal(config, f"{BASIC}algorithm: rnadom\n").message.startswith("c.yaml, line 4: ")


def test_everything_wrong_is_told_at_once(config: Path) -> None:
    """Several faults are a summary, a line for each in the order of the file, and the hints."""
    text = (
        "max_trails: 20\nfunction: svm:main\nspace: {}\n"
        "slurm: {time: half, foo: 1}\nworker: {n_workers: 0}\n"
    )
    assert str(refusal(config, text)) == (
        "6 settings are wrong:\n"
        "  c.yaml: name is missing\n"
        "  c.yaml, line 1: unknown key 'max_trails' (did you mean max_trials?)\n"
        "  c.yaml, line 3: space is empty\n"
        "  c.yaml, line 4: slurm.time is 'half'; expected minutes, mm:ss, hh:mm:ss, d-hh, "
        "d-hh:mm, d-hh:mm:ss or UNLIMITED\n"
        "  c.yaml, line 4: unknown key 'slurm.foo'\n"
        "  c.yaml, line 5: worker.n_workers is 0; expected a whole number of at least 1\n"
        "Add a line such as 'name: my-search'.\n"
        "Add at least one dimension, such as 'lr: \"loguniform(1e-5, 1)\"'.\n"
        "Write other options of sbatch as slurm: {additional: {foo: 1}}."
    )


def test_long_values_are_cut(config: Path) -> None:
    """A message stays readable whatever was given."""
    message = refusal(config, f"{BASIC}max_trials: {'x' * 5000}\n").message
    assert len(message) < 200


WORDS = st.sampled_from(
    ["name", "space", "function", "m:f", "command", "kwargs", "slurm", "worker", "storage", "time",
     "additional", "array", "mem", "n_workers", "type", "legacy", "database", "host", "algorithm",
     "random", "seed", "uniform(0, 1)", "choices([1, 'a'])", "normal(0", "10%4", "1e-6", "$X", "~x",
     "<<", "version", "max_trials", "trial_arg", "working_dir"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner),
    max_leaves=8,
)
TOP = st.dictionaries(st.sampled_from([*Settings.model_fields]) | st.text(max_size=4), VALUES)
SNIPPETS = st.lists(
    WORDS | st.sampled_from([": ", "\n", "  ", "- ", "{", "}", "[", "]", ",", "&a ", "*a", "|", "'"])
    | st.sampled_from(['"', "!!int ", "!!set ", "!x ", "? ", "%", "@", "\t", "\0", "\ufeff", "#", "---"])
    | st.text(max_size=3),
    max_size=30,
).map("".join)  # fmt: skip


@given(st.one_of(TOP.map(json.dumps), SNIPPETS, SNIPPETS.map(lambda text: BASIC + text), st.text()))
@settings(max_examples=600, deadline=None)
def test_any_text_is_settings_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Whatever stands in the file, the answer is settings or a ConfigurationError with words."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read = resolve([document_layer(read_yaml(path))])
    except ConfigurationError as error:
        told = str(error)
    else:
        told = str(read)
    assert told
    assert "pydantic" not in told
