"""The example of checkpoints: interrupted and killed, it repeats no epoch that was saved."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from orion_hpc.journal.pickleddb import PickledDB
from tests.rigs.command import COMMAND, orion_hpc
from tests.rigs.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_slurm")

EXAMPLE = Path(__file__).parents[2] / "examples" / "checkpointing"

EPOCHS = '''
import time, sklearn.neural_network as network
fit = network.MLPClassifier.partial_fit

def counted(model, *arguments, **options):
    """Train, and leave a line for each epoch."""
    time.sleep(0.05)
    found = fit(model, *arguments, **options)
    with open("epochs", "a") as file:
        file.write(f"{model.learning_rate_init!r} {model.t_}\\n")
    return found

network.MLPClassifier.partial_fit = counted
'''


def epochs_of(folder: Path) -> list[str]:
    """Return a line for each epoch that was trained: which model, and how far it is now."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / "epochs").read_text().splitlines()
    return []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["notice", "kill"])
def test_an_interruption_costs_one_epoch_at_most(tmp_path, end):
    folder = tmp_path / "p"
    shutil.copytree(EXAMPLE, folder)
    config = folder / "config.yaml"
    # By default a trial that lost its worker three times is broken: it may be what kills them.
    text = config.read_text().replace("epochs: 30", "epochs: 60") + "max_attempts: 4\n"
    config.write_text(text)
    source = folder / "perceptron.py"
    source.write_text(EPOCHS + source.read_text())
    words = ["submit", "--max-trials", "2", str(config)]
    for _ in range(3):
        before = len(epochs_of(folder))
        process = subprocess.Popen(
            [*COMMAND, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(lambda: len(epochs_of(folder)) >= before + 5, 60, "five epochs")  # noqa: B023
            below = psutil.Process(process.pid).children(recursive=True)
            if end == signal.SIGKILL:
                for one in below:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()
            process.send_signal(end)
            process.communicate(timeout=90)
            assert psutil.wait_procs(below, timeout=5)[1] == []
        finally:
            process.kill()
            process.communicate()
    done = orion_hpc(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    trials = PickledDB(str(folder / "db.pkl")).refresh().experiments[1].trials
    assert [trial.status for trial in trials] == ["completed"] * 2
    # A notice may come when a trial is nearly through: that one completes.
    assert 3 <= sum(trial.attempt for trial in trials) <= 5
    assert max(trial.attempt for trial in trials) > 1
    assert all(0 < trial.objective < 0.9 for trial in trials)
    trained = epochs_of(folder)
    repeated = len(trained) - len(set(trained))
    assert len(set(trained)) == 2 * 60
    assert repeated <= (3 if end == signal.SIGKILL else 0)
    assert os.path.exists(folder / "db.pkl.files/perceptron-digits-v1/trials/0/checkpoint")
