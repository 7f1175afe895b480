"""A neural network on scikit-learn's handwritten digits that can be interrupted at any time.

It is trained in epochs. After each one its state is saved in the trial's directory; whoever runs
the trial next, on whatever node, begins where that was.
"""

import os
from pathlib import Path

import joblib
import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from orion_hpc import TrialInterrupted


def main(learning_rate, width, trial, epochs=30):
    """Return the share of held-out digits that are told wrongly, to minimise."""
    digits = datasets.load_digits()
    parts = train_test_split(digits.data / 16, digits.target, test_size=0.25, random_state=0)
    train, test, train_labels, test_labels = parts
    classes = np.unique(digits.target)

    checkpoint = Path(trial.working_dir, "checkpoint")
    if trial.resumed and checkpoint.exists():
        model, done = joblib.load(checkpoint)
    else:
        model = MLPClassifier((width,), learning_rate_init=learning_rate, random_state=0)
        done = 0

    for epoch in range(done, epochs):
        if trial.stop_requested:
            raise TrialInterrupted(f"after {epoch} of {epochs} epochs")
        model.partial_fit(train, train_labels, classes=classes)
        save((model, epoch + 1), checkpoint)

    return float(1 - model.score(test, test_labels))


def save(state, path):
    """Write a file that is whole even if this process is killed meanwhile."""
    new = path.with_suffix(".new")
    joblib.dump(state, new)
    os.replace(new, path)
