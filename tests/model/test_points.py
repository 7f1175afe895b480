"""The points at which trials stand: what counts as the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.model.points import Points
from orion_hpc.model.trial_record import params_key

scalars = st.sampled_from([0, 1, 1.0, True, False, "1", None, "a", 0.5])
params = st.dictionaries(
    st.sampled_from("abc"), scalars | st.lists(scalars, max_size=2), max_size=3
)


def shuffled(one):
    """Return the same parameters in another order."""
    return dict(reversed(one.items()))


@given(st.lists(params, max_size=12), params)
def test_a_point_is_known_when_one_of_the_same_text_was_added(added, asked):
    """Names, values and types count, and the order of the names doesn't: so says the slow way."""
    points, texts = Points(), set()
    for one in added:
        new = params_key(one) not in texts
        assert (one in points) != new
        kept = points.add(one)
        assert (kept is not None) == new
        assert kept is None or kept == one
        texts.add(params_key(one))
    assert (asked in points) == (params_key(asked) in texts)
    assert (shuffled(asked) in points) == (params_key(asked) in texts)


def test_trials_share_the_texts_of_their_names():
    """A hundred thousand trials don't keep a hundred thousand copies."""
    points = Points()
    first = points.add({"learning rate": 0.1})
    second = points.add({"".join(["learning", " rate"]): 0.2})
    assert first is not None
    assert second is not None
    assert next(iter(first)) is next(iter(second))
