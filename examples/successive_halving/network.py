"""A neural network on scikit-learn's handwritten digits of which most trials are given up early.

A trial that goes on finds what the trial before it left in the working directory, and trains only
the epochs that it has more.
"""

import os
from pathlib import Path

import joblib
import numpy as np
from sklearn import datasets
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def main(learning_rate, width, epochs, trial):
    """Return the loss on held-out digits after ``epochs`` epochs, to minimise."""
    return train(learning_rate, width, epochs, Path(trial.working_dir, "checkpoint"))


def train(learning_rate, width, epochs, checkpoint):
    """Go on from the checkpoint, if there is one, and write it anew."""
    digits = datasets.load_digits()
    parts = train_test_split(digits.data / 16, digits.target, test_size=0.25, random_state=0)
    train, test, train_labels, test_labels = parts
    classes = np.unique(digits.target)
    if checkpoint.exists():  # of the trial before, or of an attempt that was interrupted
        model, done = joblib.load(checkpoint)
    else:
        model = MLPClassifier((width,), learning_rate_init=learning_rate, random_state=0)
        done = 0
    for epoch in range(done, epochs):
        model.partial_fit(train, train_labels, classes=classes)
        save((model, epoch + 1), checkpoint)
    return float(log_loss(test_labels, model.predict_proba(test), labels=classes))


def save(state, path):
    """Write a file that is whole even if this process is killed meanwhile."""
    new = path.with_suffix(".new")
    joblib.dump(state, new)
    os.replace(new, path)
