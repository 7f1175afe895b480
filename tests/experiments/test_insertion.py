"""Inserting points while others are at work."""

from __future__ import annotations

import pytest

from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.config.resolve import Layer, resolve
from orion_hpc.errors import ReservationRaceCondition
from orion_hpc.experiments.insertion import insert
from orion_hpc.experiments.location import Place
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev


@pytest.fixture
def settings(tmp_path):
    """Settings of an experiment in a fresh folder."""
    (tmp_path / "quick.py").write_text("def main(x):\n    return x\n")
    mapping = {"name": "e", "function": "quick:main", "space": {"x": "uniform(0, 1)"}}
    return resolve([Layer("config.yaml", mapping, tmp_path, home=True)])


def faster(monkeypatch, times: int) -> None:
    """Let another worker register trials between the look at the journal and the append."""
    transact, left = PickledDB.transact, [times]

    def late(self, number, plan):
        if not number or not left[0]:
            return transact(self, number, plan)
        left[0] -= 1
        events = plan(self.refresh())
        first, x = len(self.state.experiments[number].trials), left[0] / 999
        theirs = [ev.RegisterTrial(first, {"x": x}, 1.0)]
        transact(PickledDB(self.path), number, lambda state: theirs)
        return transact(self, number, lambda state: events)

    monkeypatch.setattr(PickledDB, "transact", late)


def test_points_that_lost_their_number_are_inserted_again(settings, monkeypatch):
    """None is missed, though the journal refused the first of them."""
    faster(monkeypatch, 2)
    done = insert(ExperimentSpec.of(settings), Place(settings.storage), [{"x": 0.5}, {"x": 0.6}])
    assert len(done.numbers) == 2
    trials = [done.built.experiment.trials[number] for number in done.numbers]
    assert {trial.params["x"] for trial in trials} == {0.5, 0.6}


def test_a_loser_of_every_race_says_so(settings, monkeypatch):
    """Rather than that nothing was inserted, as if that were well."""
    faster(monkeypatch, 99)
    with pytest.raises(ReservationRaceCondition, match="other workers registered trials of"):
        insert(ExperimentSpec.of(settings), Place(settings.storage), [{"x": 0.5}])
