"""The example of a search with a fidelity: a trial that goes on trains only what it has more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from tests.rigs.command import orion_hpc

pytestmark = pytest.mark.usefixtures("no_slurm")

EXAMPLE = Path(__file__).parents[2] / "examples" / "successive_halving"

EPOCHS = '''
import sklearn.neural_network as network
fit = network.MLPClassifier.partial_fit

def counted(model, *arguments, **options):
    """Train, and leave a line for each epoch."""
    with open(__file__ + ".epochs", "a") as file:
        file.write("epoch\\n")
    return fit(model, *arguments, **options)

network.MLPClassifier.partial_fit = counted
'''


@pytest.mark.parametrize(
    ("config", "count", "steps"), [("config.yaml", 40, 3), ("script.yaml", 6, 1)]
)
def test_what_a_trial_before_has_trained_is_trained_once(tmp_path, config, count, steps):
    """By the function and by the script alike; the best trial is one of the most epochs."""
    folder = tmp_path / "p"
    shutil.copytree(EXAMPLE, folder)
    source = folder / "network.py"
    source.write_text(EPOCHS + source.read_text())
    done = orion_hpc("submit", "--max-trials", str(count), config, cwd=folder, timeout=200)
    assert done.returncode == 0, done.stderr
    experiment = PickledDB(str(folder / "db.pkl")).refresh().experiments[1]
    trials = experiment.trials
    assert [trial.status for trial in trials] == ["completed"] * count
    before = {
        trial.number: 0 if trial.parent is None else trials[trial.parent].params["epochs"]
        for trial in trials
    }
    assert len(set(before.values())) > steps
    more = sum(trial.params["epochs"] - before[trial.number] for trial in trials)
    assert len((folder / "network.py.epochs").read_text().splitlines()) == more
    assert experiment.best is not None
    most = max(trial.params["epochs"] for trial in trials)
    assert experiment.best.params["epochs"] == most
