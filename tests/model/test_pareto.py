"""The Pareto front, against its definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.model import pareto
from orion_hpc.model.pareto import front
from orion_hpc.model.trial_record import BROKEN, COMPLETED, TrialRecord


def trial(number: int, *objectives: float, constraint: float = 0.0, status: str = COMPLETED):
    """Return a trial with these results."""
    results = [
        {"name": str(place), "type": "objective", "value": value}
        for place, value in enumerate(objectives)
    ]
    results.append({"name": "c", "type": "constraint", "value": constraint})
    return TrialRecord(number, {"x": number}, 0.0, status, results=results)


def numbers(trials: list[TrialRecord]) -> list[int]:
    """Return the numbers of the trials on the front."""
    return [one.number for one in front(trials)]


def dominates(one: TrialRecord, other: TrialRecord) -> bool:
    """Say so by the definition."""
    pairs = list(zip(one.objectives, other.objectives, strict=True))
    return all(mine <= its for mine, its in pairs) and any(mine < its for mine, its in pairs)


@given(
    st.integers(1, 5).flatmap(
        lambda many: st.lists(st.lists(st.integers(-3, 3), min_size=many, max_size=many))
    )
)
def test_it_holds_what_no_other_trial_dominates_and_nothing_else(points):
    """For one objective up to five, with many ties."""
    trials = [trial(number, *point) for number, point in enumerate(points)]
    found = front(trials)
    wanted = [one for one in trials if not any(dominates(other, one) for other in trials)]
    assert found == sorted(wanted, key=lambda one: (one.objectives, one.number))


def test_equal_trials_are_on_it_together_or_not_at_all():
    """Neither is better than the other; they come in the order given."""
    trials = [trial(0, 1, 2), trial(1, 2, 1), trial(2, 1, 2), trial(3, 2, 2), trial(4, 2, 2)]
    assert numbers(trials) == [0, 2, 1]


def test_an_infeasible_or_unfinished_trial_is_not_on_it_and_hides_none():
    """However small its objectives are."""
    trials = [
        trial(0, 1, 1, constraint=0.1), trial(1, 3, 3), trial(2, 0, 0, status=BROKEN),
        TrialRecord(3, {"x": 3}, 0.0), trial(4, 2, 4, constraint=-1),
    ]  # fmt: skip
    assert numbers(trials) == [4, 1]
    assert numbers(trials[:1]) == []


def test_the_first_completed_trial_says_how_many_objectives_count():
    """Also if it is infeasible; imported ones may have none."""
    trials = [
        trial(0),
        trial(1, 5, 5, constraint=1),
        trial(2, 1),
        trial(3, 4, 4),
        trial(4, 1, 2, 3),
    ]
    assert numbers(trials) == [3]
    assert numbers([]) == numbers(trials[:1]) == []


def test_ten_thousand_trials_that_are_all_on_it_need_no_look_at_each_pair():
    """With three objectives; counted in comparisons, as a clock can't tell."""
    count = 0

    def counting(name):
        def compare(self, other):
            nonlocal count
            count += 1
            return getattr(float, name)(self, other)

        return compare

    names = ("__lt__", "__le__", "__gt__", "__ge__")
    counted = type("Counted", (float,), {name: counting(name) for name in names})
    many, stairs = 10_000, pareto._Staircase()
    for number in range(many):
        step = number * 7919 % many
        assert stairs.add((counted(step), counted(-step)))
    assert many < count < 40 * many
