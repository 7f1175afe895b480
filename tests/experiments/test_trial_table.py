"""Trials as records and tables: nothing is lost on the way to another program."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments import frames
from orion_hpc.experiments.trial_table import (
    Missing,
    as_csv,
    as_json,
    record,
    suggested_columns,
    table,
)
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED, TrialRecord

EXPERIMENT = ExperimentState(1, "e", 2, {}, 0.0, None, 3)
RESULTS = [
    {"name": "loss", "type": "objective", "value": 0.1 + 0.2},
    {"name": "status", "type": "statistic", "value": 7},
    {"name": "curve", "type": "statistic", "value": [1, 2.5, [3]]},
    {"name": "odd", "type": "statistic", "value": math.nan},
    {"name": "far", "type": "statistic", "value": [-math.inf, math.inf]},
    {"name": "optimizer", "type": "statistic", "value": 'sgd, with "momentum"'},
    {"name": "early", "type": "statistic", "value": True},
    {"name": "note", "type": "statistic", "value": None},
]
DONE = TrialRecord(
    0, {"lr": 1e-300, "net.depth": 3, "kind": None, "id": "mine", "shape": [1, 2]}, 0.5, COMPLETED,
    2, "w", 1.25, 2.0, RESULTS,
)  # fmt: skip
FAILED = TrialRecord(
    1, {"lr": 0.5, "net.depth": 4, "kind": 'a,"b"', "extra": True}, 3.0, BROKEN, 1, "w", 4.0, 5.0,
    None, "user error", 'Traceback:\n  "x", line 1\r\nboom; ünï',
)  # fmt: skip
RECORDS = [record(EXPERIMENT, DONE), record(EXPERIMENT, FAILED)]


def read_csv() -> list[dict[str, str]]:
    """Return the rows of the table as another program reads them."""
    return list(csv.DictReader(io.StringIO(as_csv(RECORDS), newline="")))


def test_a_csv_table_holds_everything_under_a_name_of_its_own():
    """Columns in a fixed order, names that are taken with a prefix, every value readable again."""
    first, second = read_csv()
    assert list(first) == [
        "experiment", "version", "number", "id", "status", "attempt", "objective",
        "results.status", "curve", "odd", "far", "optimizer", "early", "note",
        "lr", "net.depth", "kind", "params.id", "shape", "extra",
        "submit_time", "start_time", "end_time", "worker", "cause", "message", "parent",
    ]  # fmt: skip
    assert (first["experiment"], first["version"], first["number"]) == ("e", "2", "0")
    assert float(first["objective"]) == 0.1 + 0.2
    assert (first["results.status"], float(first["lr"])) == ("7", 1e-300)
    assert json.loads(first["curve"]) == [1, 2.5, [3]]
    assert math.isnan(float(first["odd"]))
    assert [float(one) for one in json.loads(first["far"])] == [-math.inf, math.inf]
    assert (first["optimizer"], first["early"]) == ('sgd, with "momentum"', "True")
    assert (first["kind"], first["params.id"], first["shape"]) == ("None", "mine", "[1, 2]")
    assert first["start_time"] == "1970-01-01T00:00:01.250000+00:00"
    assert second["message"] == FAILED.message
    assert second["kind"] == 'a,"b"'
    assert (second["objective"], second["curve"], second["params.id"]) == ("", "", "")
    assert (first["extra"], second["extra"]) == ("", "True")


def test_json_holds_everything_and_is_json():
    """A strict reader takes it; what JSON has no number for is a text that float() reads."""

    def no_constant(text: str) -> None:
        raise AssertionError(f"{text} isn't JSON")

    text = as_json(RECORDS)
    first, second = json.loads(text, parse_constant=no_constant)
    assert first["params"] == DONE.params
    assert first["results"][:3] == RESULTS[:3]
    assert math.isnan(float(first["results"][3]["value"]))
    assert [float(one) for one in first["results"][4]["value"]] == [-math.inf, math.inf]
    assert [one["value"] for one in first["results"][5:]] == ['sgd, with "momentum"', True, None]
    assert (first["objective"], first["end_time"]) == (0.1 + 0.2, "1970-01-01T00:00:02+00:00")
    assert (second["results"], second["objective"], second["message"]) == (
        [], None, FAILED.message,
    )  # fmt: skip
    assert second["id"] == FAILED.id


def test_no_trials_are_an_empty_list_and_a_line_of_names():
    """A new experiment can be exported like any other."""
    assert json.loads(as_json([])) == []
    assert as_csv([]).count("\n") == 1


def test_the_second_of_two_equal_names_is_told_apart_however_often():
    """A hyperparameter may be called as a result is, and even as what that would be called."""
    results = [{"name": "params.a", "type": "statistic", "value": 1},
               {"name": "a", "type": "statistic", "value": 2}]  # fmt: skip
    one = TrialRecord(0, {"a": 3, "params.a": 4}, 0.0, COMPLETED, 1, "w", 0.0, 0.0, results)
    columns = table([record(EXPERIMENT, one)])
    values = [columns[name][0] for name in list(columns)[7:11]]
    assert values == [1, 2, 3, 4]
    assert len(columns) == 18


SEVERAL = [
    {"name": "loss", "type": "objective", "value": 1.0},
    {"name": "id", "type": "objective", "value": 2.0},
    {"name": "time", "type": "objective", "value": 3.0},
    {"name": "time", "type": "statistic", "value": 4},
    {"name": "memory", "type": "constraint", "value": -5.0},
    {"name": "lr", "type": "constraint", "value": 6.0},
]
MANY = [record(EXPERIMENT, TrialRecord(2, {"lr": 0.5}, 0.5, COMPLETED, 1, "w", 1.0, 2.0, SEVERAL)),
        RECORDS[1]]  # fmt: skip


def test_objectives_after_the_first_and_constraints_have_columns():
    """The first is the column that it always was; a statistic doesn't hide an objective."""
    columns = table(MANY)
    assert columns["objective"] == [1.0, Missing]
    assert list(columns)[7:13] == [
        "results.id", "time", "results.time", "memory", "lr", "params.lr",
    ]  # fmt: skip
    first = [columns[name][0] for name in list(columns)[7:13]]
    assert first == [2.0, 3.0, 4, -5.0, 6.0, 0.5]
    assert columns["time"][1] is Missing


def test_orions_columns_stay_where_they_are_before_those_of_several_objectives():
    """Hyperparameters keep their names, whatever a constraint is called."""
    columns = suggested_columns(MANY)
    assert list(columns)[:7] == [
        "id", "experiment_id", "status", "suggested", "reserved", "completed", "objective",
    ]  # fmt: skip
    assert columns["results.id"] == [2.0, Missing]
    assert columns["time"] == [3.0, Missing]
    assert columns["memory"] == [-5.0, Missing]
    assert columns["results.lr"] == [6.0, Missing]
    names = list(columns)
    assert names.index("lr") < names.index("number") < names.index("results.id")
    assert names[-7:] == [
        "submit_time", "start_time", "end_time", "worker", "cause", "message", "parent",
    ]  # fmt: skip
    assert columns["number"] == [one["number"] for one in MANY]


def test_a_data_frame_has_a_type_that_suits_each_column():
    """Holes among integers and truth values don't make floats of them."""
    frame = frames.data_frame(
        {"a": [1, 2], "b": [1, Missing], "c": [1, 2.5], "d": [True, None], "e": ["x", None],
         "f": [[1], [2, 3]], "g": [1, "a"], "h": [1 << 70, 1], "i": [Missing, Missing]}
    )  # fmt: skip
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds == {
        "a": "int64", "b": "Int64", "c": "float64", "d": "boolean", "e": "object", "f": "object",
        "g": "object", "h": "object", "i": "object",
    }  # fmt: skip
    assert frame["b"].tolist()[0] == 1
    assert frame["h"][0] == 1 << 70


def test_orions_columns_do_not_hide_hyperparameters():
    """One that is called 'id' has its own column."""
    columns = suggested_columns(RECORDS)
    assert columns["id"] == [DONE.id, FAILED.id]
    assert columns["params.id"] == ["mine", Missing]
    ours = record(EXPERIMENT, TrialRecord(0, {"worker": 4}, 1.0, worker="c1:7:abc.0"))
    columns = suggested_columns([ours])
    assert (columns["worker"], columns["trial.worker"]) == ([4], ["c1:7:abc.0"])


def test_a_trial_that_nobody_began_has_empty_times():
    """Not the text None, which a reader of the table would have to know."""
    new = record(EXPERIMENT, TrialRecord(0, {"x": 0.5}, 1.0))
    (read,) = csv.DictReader(io.StringIO(as_csv([new])))
    assert (read["start_time"], read["end_time"], read["worker"]) == ("", "", "")


def test_trials_that_have_nothing_in_common_are_no_table():
    """A file of a few megabytes would make one of many gigabytes."""
    strangers = [
        record(EXPERIMENT, TrialRecord(n, {f"p{n}_{i}": 1.0 for i in range(10)}, 1.0))
        for n in range(2000)
    ]
    for make in (as_csv, suggested_columns):
        with pytest.raises(ConfigurationError, match="2,000 trials with 20,000 different"):
            make(strangers)
    assert len(json.loads(as_json(strangers))) == 2000
