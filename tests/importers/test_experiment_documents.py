"""Experiments of Oríon's: settings, what this version can go on with, and what is told."""

from __future__ import annotations

import pickle

import numpy
import pytest

from orion_hpc.errors import ImportRefused
from orion_hpc.importers.orion.experiment_documents import FoundExperiment, label, read_experiment
from orion_hpc.importers.orion.inert_pickle import load
from orion_hpc.importers.orion.inert_values import ValueConverter
from tests.rigs.orion_file import EXPERIMENT, trial

BARE = {key: EXPERIMENT[key] for key in ("_id", "name", "version")}


def found(trials=(), base=EXPERIMENT, seed=5, **changes) -> FoundExperiment:
    """Return what is made of an experiment's document; dots are written as double underscores."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    document, documents = load(pickle.dumps([{**base, **changed}, list(trials)]), lambda name: True)
    return read_experiment(document, documents, ValueConverter(), seed, 9.0)


def test_settings_are_kept():
    """Those that Oríon has; what a trial runs isn't known to it in our terms."""
    one = found([trial(0)])
    assert (one.name, one.version) == ("old", 1)
    origin = one.configuration.pop("imported")
    assert one.configuration == {
        "space": {"x": "uniform(0, 1)"},
        "algorithm": {"random": {"seed": 7}},
        "function": None,
        "command": None,
        "kwargs": {},
        "trial_arg": None,
        "path": "",
        "max_trials": 10,
        "max_broken": 3,
        "max_attempts": 3,
        "working_dir": None,
        "worker": {},
    }
    assert len(origin.pop("digest")) == 64
    assert origin == {"program": "Oríon", "id": "1", "parent": "None", "user": "ada", "trials": 1}
    assert one.create_time == 1714979289.123456
    assert one.notes == []


def test_a_document_may_be_nearly_empty():
    """Oríon's defaults, as far as it has them."""
    one = found(base=BARE)
    assert one.configuration["max_trials"] is None
    assert one.configuration["max_broken"] == 3
    assert one.configuration["algorithm"] == {"random": {}}
    assert one.create_time == 9.0
    assert one.notes == [
        "It can be looked at, but this version can't go on with it: the search space is empty."
    ]


@pytest.mark.parametrize(
    ("form", "algorithm"),
    [
        ({"algorithm__random__seed": 1}, {"random": {"seed": 1}}),
        ({"algorithms__random__seed": 1}, {"random": {"seed": 1}}),
        ({"algorithm__random": {}}, {"random": {"seed": 5}}),
        ({"algorithm": "random"}, {"random": {"seed": 5}}),
        ({"algorithm": "Random"}, {"random": {"seed": 5}}),
        ({"algorithm__random__seed": None}, {"random": {"seed": 5}}),
        ({"algorithm__of_type": "random", "algorithm__seed": 2}, {"random": {"seed": 2}}),
        ({"algorithm__random__seed": numpy.int64(3)}, {"random": {"seed": 3}}),
        ({"algorithm": {"random": {"seed": 4}}}, {"random": {"seed": 4}}),
        (
            {"algorithm__gridsearch__n_values": 3, "algorithm__gridsearch__seed": None},
            {"gridsearch": {"n_values": 3}},
        ),
    ],
)
def test_every_form_of_an_algorithm_is_read(form, algorithm):
    """Of all 0.2 versions; a seed that Oríon left open is drawn, so that all workers have one."""
    one = found(base={**BARE, "space.x": "uniform(0, 1)"}, **form)
    assert one.configuration["algorithm"] == algorithm
    assert one.notes == []


def test_options_of_orions_algorithms_are_taken_or_told():
    """What has a counterpart is translated; what has none is left out with a note."""
    one = found(
        base={**BARE, "space.x": "uniform(0, 1)"},
        algorithm__tpe__seed=[1, 2],
        algorithm__tpe__parallel_strategy__of_type="MeanParallelStrategy",
        algorithm__tpe__prior_weight=2.0,
        algorithm__tpe__max_retry=100,
    )
    (options,) = one.configuration["algorithm"].values()
    assert options["strategy"] == "mean"
    assert type(options["seed"]) is int
    assert "prior_weight" not in options
    (note,) = one.notes
    assert note.startswith("Oríon's prior_weight has no effect on tpe here")


def test_an_algorithm_that_is_not_here_is_recorded_as_it_is_and_told():
    """Its trials are worth having anyway."""
    one = found(base=BARE, space__x="uniform(0, 1)", algorithm__ax__seed=None,
                algorithm__ax__num_rungs=4, algorithm__ax__deep__of_type="x")  # fmt: skip
    assert one.configuration["algorithm"] == {
        "ax": {"seed": None, "num_rungs": 4, "deep": {"of_type": "x"}}
    }
    (note,) = one.notes
    assert note.startswith("It can be looked at, but this version can't go on with it: unknown alg")


def test_options_that_are_no_data_are_left_out_and_told():
    """An array of numpy; both a value and a mapping."""
    one = found(algorithm__random__start=numpy.ones(3), algorithm__random__seed__deep=1)
    first, second = one.notes
    assert first.startswith("An option of the algorithm is left out: it is a numpy.")
    assert second == "An option of the algorithm is left out: it is both a value and a mapping."
    assert one.configuration["algorithm"] == {"random": {"seed": 7}}


def test_priors_are_in_our_words_where_they_are_known():
    """A name from the command line loses its slash; a prior that isn't known stays, and is told."""
    one = found(base=BARE, **{"space__/lr": "loguniform(1e-5,1)", "space__/a/b": "uniform(0, 1.0)"})
    assert one.configuration["space"] == {"a.b": "uniform(0, 1)", "lr": "loguniform(1e-05, 1)"}
    assert one.notes == ["Dimensions without the slash that Oríon gave them: lr, a.b."]
    other = found(base=BARE, space__x="zeta(3, 4)")
    assert other.configuration["space"] == {"x": "zeta(3, 4)"}
    assert len(other.notes) == 1
    nested = found(base=BARE, space={"x": "uniform(0, 2)"})
    assert nested.configuration["space"] == {"x": "uniform(0, 2)"}
    old = found(base=BARE, metadata__priors__x="uniform(0, 3)")
    assert old.configuration["space"] == {"x": "uniform(0, 3)"}


@pytest.mark.parametrize("space", [{"x": 3}, {"\x1b": "uniform(0, 1)"}, {"x": "uniform(0, 1)\n"}])
def test_dimensions_that_can_not_be_shown_are_left_out_and_told(space):
    """Whatever a terminal would do with them."""
    one = found(base=BARE, space=space)
    assert one.configuration["space"] == {}
    assert one.notes[0] == "A dimension is left out: its name or its prior isn't a text."


@pytest.mark.parametrize(
    ("given", "kept"),
    [(5, 5), (5.0, 5), (1_000_000_000, 1_000_000_000), (None, None), (float("inf"), None),
     (float("nan"), None), (0, None), (-1, None), ("5", None), (True, None), (1 << 40, None)],
)  # fmt: skip
def test_limits_are_whole_numbers_or_none(given, kept):
    """Infinity is how Oríon wrote that there is none."""
    one = found(max_trials=given, max_broken=given)
    assert one.configuration["max_trials"] == kept
    assert one.configuration["max_broken"] == (kept or 3)


@pytest.mark.parametrize("name", ["my exp", "../../etc", "-x", "a/b:c", "é.1", "n" * 200])
def test_a_name_stays_as_it_is(name):
    """Only its folder is called otherwise if the name can't be part of a path."""
    one = found(name=name)
    assert one.name == name
    assert one.notes == []


@pytest.mark.parametrize(
    "changes",
    [{"name": None}, {"name": ""}, {"name": "a\nb"}, {"name": 3}, {"version": "1"},
     {"version": 0}, {"version": True}, {"version": 1.0}, {"version": 1 << 40}],
)  # fmt: skip
def test_without_a_name_or_version_it_is_refused(changes):
    """Nothing could be told of it."""
    with pytest.raises(ImportRefused):
        label({**EXPERIMENT, **changes})


def test_no_version_is_the_first():
    """As Oríon reads it."""
    assert label({"name": "a"}) == ("a", 1)


def test_trials_come_in_the_order_of_their_submission():
    """As Oríon shows them; the file has them in the order of writing."""
    one = found([trial(2), trial(0), trial(1)])
    assert [t.params["x"] for t in one.trials] == [0.0, 0.01, 0.02]


def test_trials_that_can_not_be_kept_are_counted():
    """By reason. Of two with one id the first is kept, and without ids of two at one point."""
    one = found(
        [
            trial(0),
            trial(0),
            trial(1, id=None),
            trial(2, id=None, params=trial(1)["params"]),
            trial(3, status="done"),
            trial(4, params=[]),
            trial(5, status="reserved"),
        ]
    )
    assert [t.status for t in one.trials] == ["completed", "completed", "interrupted"]
    assert one.notes == [
        "Trials left out because they are there twice: 2.",
        "Trials that get another id, as the one that they had isn't letters and digits: 2.",
        "Trials left out because of a status that there isn't: 1.",
        "Trials left out because of no parameters: 1.",
        "Trials reserved in Oríon by workers that aren't ours, and interrupted here: 1.",
    ]


def test_two_trials_at_one_point_are_kept_if_they_have_ids():
    """Oríon's population based algorithms run a point again."""
    assert len(found([trial(1), trial(2, params=trial(1)["params"])]).trials) == 2


def test_broken_trials_that_end_it_are_told():
    """With what to type."""
    one = found([trial(n, status="broken") for n in range(3)])
    assert one.notes == [
        "Its 3 broken trials end it (max_broken is 3); to go on, submit with --max-broken 6."
    ]


def test_the_digest_tells_two_readings_apart_by_what_is_read():
    """Not by the seed that was drawn, nor by the time of the import."""
    digests = [
        found(**changes).configuration["imported"]["digest"]
        for changes in (
            {}, {"seed": 6}, {"space__x": "uniform(0, 2)"}, {"trials": [trial(0)]},
            {"trials": [trial(0, status="new")]},
        )
    ]  # fmt: skip
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_metadata_that_is_long_or_odd_is_left_out():
    """What is kept of it can be shown."""
    one = found(
        metadata__user="a\x1b[31m", metadata__user_args=["./train.py", "-x~uniform(0, 1)"],
        metadata__user_script="x" * 5000, metadata__VCS__type="git", refers__parent_id=b"1",
    )  # fmt: skip
    origin = one.configuration["imported"]
    assert "user" not in origin
    assert "user_script" not in origin
    assert origin["user_args"] == ["./train.py", "-x~uniform(0, 1)"]
    assert origin["VCS"] == {"type": "git"}
    assert origin["parent"] == "None"
