"""Single trials of Oríon's: what is kept, what is told, and what can't be kept."""

from __future__ import annotations

import datetime
import pickle
from collections import Counter

import numpy
import pytest

from orion_hpc.importers.orion import trial_documents
from orion_hpc.importers.orion.inert_pickle import load
from orion_hpc.importers.orion.inert_values import UnsupportedValue, ValueConverter
from orion_hpc.importers.orion.trial_documents import FoundTrial, plain_name, read_trial
from tests.rigs.orion_file import TIME, trial

CREATED = 5.0


def found(told: Counter[str] | None = None, **changes) -> FoundTrial:
    """Return what is made of a trial's document."""
    document = load(pickle.dumps(trial(1, **changes)), lambda name: True)
    return read_trial(document, ValueConverter(), CREATED, Counter() if told is None else told)


def result(value, kind: str = "objective", name: str = "loss") -> dict[str, object]:
    """Return an entry of Oríon's results."""
    return {"name": name, "type": kind, "value": value}


def param(value, name="x") -> dict[str, object]:
    """Return an entry of Oríon's params."""
    return {"name": name, "type": "real", "value": value}


def test_everything_of_a_completed_trial_is_kept():
    """Oríon's times are in UTC."""
    told: Counter[str] = Counter()
    seconds = TIME.replace(tzinfo=datetime.timezone.utc).timestamp()
    assert found(told, worker="node7") == FoundTrial(
        id=f"{1:032x}",
        params={"x": 0.01},
        status="completed",
        results=[result(0.1)],
        submit_time=seconds + 1,
        start_time=seconds + 1,
        end_time=seconds + 2,
        worker="node7",
        message="completed in Oríon, which keeps no reason",
    )
    assert not told


@pytest.mark.parametrize("status", ["new", "broken", "suspended", "interrupted"])
def test_other_statuses_stay(status):
    """Without results: there is no place for those of a trial that isn't completed."""
    one = found(status=status, end_time=None)
    assert (one.status, one.results, one.end_time) == (status, None, None)


def test_a_reserved_trial_is_interrupted_and_told():
    """Its worker is none of ours."""
    told: Counter[str] = Counter()
    one = found(told, status="reserved")
    assert one.status == "interrupted"
    assert one.message == "reserved in Oríon, by a worker that isn't ours"
    assert told == {trial_documents.WAS_RESERVED: 1}


def test_times_that_are_not_there_stay_so():
    """An inserted trial never started; a submission must have a time, and gets the creation's."""
    one = found(submit_time=None, start_time=None, end_time="yesterday")
    assert (one.submit_time, one.start_time, one.end_time) == (CREATED, None, None)


@pytest.mark.parametrize(
    ("id_", "other", "expected"),
    [
        ("abc123", 4, "abc123"),
        (None, "0f" * 16, "0f" * 16),
        (None, 4, None),
        ("../../etc/passwd", 4, None),
        ("a b", 4, None),
        ("a\n", 4, None),
        ("a" * 65, 4, None),
        ("", 4, None),
        (["a"], 4, None),
    ],
)
def test_an_id_is_kept_if_it_is_letters_and_digits(id_, other, expected):
    """It becomes a variable and a placeholder of commands. Before 0.2.1 the hash was in ``_id``."""
    told: Counter[str] = Counter()
    assert found(told, id=id_, _id=other).id == expected
    assert told == ({} if expected else {trial_documents.NEW_ID: 1})


@pytest.mark.parametrize(
    ("results", "kept"),
    [
        ([result(numpy.float64(2))], [result(2.0)]),
        ([result(3)], [result(3.0)]),
        ([result(1.0, name=None)], [result(1.0, name="objective")]),
        ([result(1.0), result(0.5, "lie")], [result(1.0)]),
        (
            [result(1.0), result([1.0, (2.0, 3)], "gradient"), result(0.5, "constraint")],
            [result(1.0), result([1.0, [2.0, 3]], "gradient"), result(0.5, "constraint")],
        ),
        ([result(7, "statistic"), result(1.0)], [result(7, "statistic"), result(1.0)]),
    ],
)
def test_results_are_kept(results, kept):
    """As plain data, in their order, without an algorithm's lies."""
    told: Counter[str] = Counter()
    assert found(told, results=results).results == kept
    assert not told


def test_what_can_not_be_kept_of_results_is_told():
    """A statistic that is neither text nor a number; a second objective."""
    told: Counter[str] = Counter()
    one = found(
        told,
        results=[result("text", "statistic"), result(1), result(2), result(1j, "statistic", "z")],
    )
    assert one.results == [result("text", "statistic"), result(1.0), result(2, "statistic")]
    assert told == {trial_documents.NO_STATISTIC: 1, trial_documents.SECOND_OBJECTIVE: 1}


@pytest.mark.parametrize(
    "results",
    [None, [], [result(1.0, "statistic")], [result(float("nan"))], [result(None)], [result(1j)],
     [{"name": "loss", "type": "objective"}]],
)  # fmt: skip
def test_a_completed_trial_without_an_objective_is_broken(results):
    """As one is that returns such results here."""
    told: Counter[str] = Counter()
    one = found(told, results=results)
    assert (one.status, one.results) == ("broken", None)
    assert one.message.startswith("completed in Oríon, but ")
    assert told[trial_documents.NO_RESULT] == 1


@pytest.mark.parametrize("value", [None, "adam", True, 3, 0.5, [1, [2.5]], (1, "a"), {"a": [1]}])
def test_params_keep_value_and_type(value):
    """Lists and tuples, too: categories may be either."""
    assert repr(found(params=[param(value)]).params) == repr({"x": value})


def test_params_are_flat_and_in_order_of_their_names():
    """With the slashes of Oríon's command line gone."""
    params = [param(1, "/model/width"), param(2, "/lr"), param(3, "b.c")]
    assert list(found(params=params).params.items()) == [("b.c", 3), ("lr", 2), ("model.width", 1)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", "x"),
        ("/x", "x"),
        ("/a/b", "a.b"),
        ("a.b", "a.b"),
        ("a/b", "a/b"),
        ("", None),
        ("/", None),
        ("//x", None),
        ("a..b", None),
        ("a\x1b[31m", None),
        ("\ud800", None),
        ("x" * 1001, None),
        (3, None),
        (None, None),
    ],
)
def test_a_name_that_can_not_be_one_is_none(name, expected):
    """Names are shown in terminals."""
    assert plain_name(name) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "done"},
        {"status": None},
        {"status": ["new"]},
        {"params": None},
        {"params": []},
        {"params": "x"},
        {"params": [3]},
        {"params": [{"value": 1}]},
        {"params": [param(1), param(2)]},
        {"params": [param(1), param(2, "/x")]},
        {"params": [param(1j)]},
        {"params": [param(b"1")]},
        {"params": [param([float("inf")])]},
        {"params": [param({"a": float("nan")})]},
        {"results": 3},
        {"params": [param("x" * (9 << 20))]},
    ],
    ids=repr,
)
def test_a_trial_that_can_not_be_kept_is_odd(changes):
    """It says why, in words that go behind 'because of'."""
    with pytest.raises(UnsupportedValue, match=r"^(a|no|parameters) ?"):
        found(**changes)
