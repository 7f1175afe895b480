"""What a trial may return: every accepted form, and the sentence for every other one."""

from __future__ import annotations

import decimal
import math
from pathlib import Path

import pytest

from orion_hpc.errors import InvalidResult
from orion_hpc.model.result import check_results


def objective(value, name="loss"):
    return {"name": name, "type": "objective", "value": value}


@pytest.mark.parametrize("value", [2, 2.0, decimal.Decimal(2)])
def test_a_number_is_the_objective(value):
    """A bare number of any kind becomes the one result, as a float."""
    results = check_results(value)
    assert results == [objective(2.0, "objective")]
    assert type(results[0]["value"]) is float


def test_a_list_is_kept_whole_and_in_order():
    """All four types are kept; only objective and constraints are made floats."""
    given = [
        {"name": "grad", "type": "gradient", "value": (1, 2.5)},
        objective(1),
        {"name": "memory", "type": "constraint", "value": 3},
        {"name": "epochs", "type": "statistic", "value": 7},
        {"name": "confusion", "type": "statistic", "value": [[1, 2], [3, math.nan]]},
    ]
    results = check_results(given)
    assert [result["value"] for result in results[:4]] == [[1, 2.5], 1.0, 3.0, 7]
    assert [result["name"] for result in results] == [result["name"] for result in given]
    assert repr(results[4]["value"]) == "[[1, 2], [3, nan]]"


def test_several_objectives_are_kept_in_order():
    """Each is made a float; a statistic may be called as an objective is."""
    given = [
        objective(2),
        {"name": "loss", "type": "statistic", "value": 7},
        objective(1, "time"),
    ]
    assert check_results(given) == [objective(2.0), given[1], objective(1.0, "time")]


def statistic(value, name="s"):
    return {"name": name, "type": "statistic", "value": value}


@pytest.mark.parametrize("value", ["sgd", "", "é", True, False, None, 3, 0.5, [1, [2, math.inf]]])
def test_a_statistic_may_be_a_text_a_boolean_or_none(value):
    """As in Oríon, which keeps whatever its database takes."""
    left_out = []
    assert check_results([objective(1), statistic(value)], left_out.append) == [
        objective(1.0),
        statistic(value),
    ]
    assert left_out == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Path("model.pt"), "it is PosixPath('model.pt') (PosixPath), not numbers, a text, a"),
        ({"a": 1}, "it is {'a': 1} (dict), not numbers"),
        ([1, "a"], "it is [1, 'a'] (list), not numbers"),
        (1j, "it is 1j (complex), not numbers"),
        (1 << 2000, "it is "),
        ("x" * 10_001, "it is a text of 10,001 characters"),
        ("\ud800", "it is a text of 1 characters"),
        ([0] * 100_000, "the results would hold more than 100,000 numbers with it"),
    ],
)
def test_what_cannot_be_recorded_never_costs_the_objective(value, told):
    """The rest is kept, and a warning names what isn't."""
    left_out = []
    given = [statistic(1, "a"), objective(1), statistic(value), statistic(2, "b")]
    kept = [statistic(1, "a"), objective(1.0), statistic(2, "b")]
    assert check_results(given, left_out.append) == kept
    (said,) = left_out
    assert said.startswith(f"the statistic 's' is left out: {told}")
    with pytest.warns(UserWarning, match="the statistic 's' is left out"):
        assert check_results(given) == kept


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"type": "statistic", "value": 1}, "result 1 has no 'name'"),
        ({"name": "s", "type": "statistic"}, "result 1 has no 'value'"),
        ({"name": 7, "type": "statistic", "value": 1}, "result 1 has 7"),
        ({"name": "s", "type": "statistic", "value": 1, "unit": "s"}, "an unknown key 'unit'"),
    ],
)
def test_a_statistic_that_is_not_well_formed_never_costs_the_objective(entry, told):
    """It is left out with a warning; the same of an objective is an error."""
    left_out = []
    assert check_results([objective(1), entry], left_out.append) == [objective(1)]
    (said,) = left_out
    assert told in said
    with pytest.raises(InvalidResult):
        check_results([objective(1), {**entry, "type": "objective"}])


def test_numpys_texts_and_booleans_are_plain():
    """As its numbers."""
    numpy = pytest.importorskip("numpy")
    given = [objective(1), statistic(numpy.bool_(True), "a"), statistic(numpy.str_("b"), "b")]
    values = [one["value"] for one in check_results(given)[1:]]
    assert [(value, type(value)) for value in values] == [(True, bool), ("b", str)]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            {"loss": 0.5},
            'Return a list, with the type objective for what is minimised: [{"name": "loss", '
            '"type": "objective", "value": 0.5}].',
        ),
        (
            {"loss": 1, "a": 2, "b": 3, "path": "x"},
            'Return a list, with the type objective for what is minimised: [{"name": "loss", '
            '"type": "objective", "value": 1}, {"name": "a", "type": "statistic", "value": 2}, …].',
        ),
        (
            objective(1.0),
            "Put it into a list: [{'name': 'loss', 'type': 'objective', 'value': 1.0}].",
        ),
    ],
)
def test_a_dictionary_is_answered_with_the_list_that_was_meant(value, told):
    """It can be pasted."""
    with pytest.raises(InvalidResult) as caught:
        check_results(value)
    assert caught.value.hint == told


def test_a_hundred_thousand_objectives_are_refused_quickly():
    """They are counted before anything is compared with all the others."""
    with pytest.raises(InvalidResult, match="hold 100,001 numbers"):
        check_results([objective(1, str(number)) for number in range(100_001)])


def test_numpy_becomes_plain_python():
    """Nothing of numpy reaches the journal, which refuses to unpickle it."""
    numpy = pytest.importorskip("numpy")
    for scalar in (numpy.float64(0.5), numpy.float32(0.5), numpy.array(0.5)):
        assert type(check_results(scalar)[0]["value"]) is float
    given = [objective(numpy.int64(1)), {"name": "g", "type": "gradient", "value": numpy.ones(2)}]
    given.append({"name": "s", "type": "statistic", "value": numpy.float64(2)})
    values = [result["value"] for result in check_results(given)]
    assert values == [1.0, [1.0, 1.0], 2.0]
    assert [type(value) for value in (values[0], values[1][0], values[2])] == [float] * 3


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["objective", "constraint"])
def test_what_cannot_be_compared_is_refused_by_name(kind, number):
    """NaN and infinity break the trial, and the reason names the result."""
    given = [{"name": "x", "type": kind, "value": number}, objective(1.0)][: 1 + (kind[0] == "c")]
    with pytest.raises(InvalidResult) as caught:
        check_results(given)
    assert caught.value.message == f"the {kind} 'x' is {number}"


def test_a_bare_nan_is_refused_too():
    """The short form isn't a way round."""
    with pytest.raises(InvalidResult, match="the objective 'objective' is nan"):
        check_results(math.nan)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "the trial returned None, not a result"),
        (True, "the trial returned True (bool), not a result"),
        ("0.5", "the trial returned '0.5' (str), not a result"),
        (1j, "the trial returned 1j (complex), not a result"),
        (objective(1.0), "the trial returned a dictionary: {'name': 'loss', 'type': "),
        ([], "none of the trial's results has the type 'objective'"),
        (
            [objective(1), objective(2, "b"), objective(3)],
            "two of the trial's objectives are called 'loss'",
        ),
        ([objective(1), objective("low", "b")], "the objective 'b' is 'low' (str), not a number"),
        ([0.5], "result 0 is 0.5 (float), not a dictionary"),
        ([{"name": "loss", "value": 1}], "result 0 has no 'type': {'name': 'loss', 'value': 1}"),
        (
            [{**objective(1), "valu": 2}],
            "result 0 has an unknown key 'valu' (did you mean value?)",
        ),
        ([objective(1, name=3)], "result 0 has 3 (int) for a name, not a text"),
        (
            [{"name": "loss", "type": "objectiv", "value": 1}],
            "result 'loss' has an unknown type 'objectiv' (did you mean objective?)",
        ),
        ([objective("low")], "the objective 'loss' is 'low' (str), not a number"),
        ([objective(False)], "the objective 'loss' is False (bool), not a number"),
        ([objective(10**400)], "the objective 'loss' is too large for a float"),
        (
            [objective(1), {"name": "g", "type": "gradient", "value": [1, "a"]}],
            "the gradient 'g' holds 'a' (str), not a number or a list of numbers",
        ),
    ],
)
def test_anything_else_says_what_came_and_what_should(value, told):
    """The message tells the value and its type, the hint shows a right one."""
    with pytest.raises(InvalidResult) as caught:
        check_results(value)
    assert caught.value.message.startswith(told)
    assert caught.value.hint


def test_a_hostile_value_is_told_shortly():
    """A value with a long text, or with none at all, doesn't spoil the message."""

    class Silent:
        def __repr__(self):
            raise RuntimeError

    with pytest.raises(InvalidResult, match="an object of the type Silent"):
        check_results(Silent())
    with pytest.raises(InvalidResult) as caught:
        check_results("x\n" * 1000)
    assert len(caught.value.message) < 130


def test_an_array_says_that_it_is_one():
    """An array with dimensions isn't taken for a number or a list of results."""
    numpy = pytest.importorskip("numpy")
    with pytest.raises(InvalidResult, match=r"array\(\[1\., 1\.\]\) \(ndarray\)"):
        check_results(numpy.ones(2))
