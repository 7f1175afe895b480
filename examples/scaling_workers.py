"""Several workers for one search, and several processes for one trial: joblib and dask.

Tunes a support vector machine on scikit-learn's digits, once with each way of running it:

    python examples/scaling_workers.py                 # all of them, 6 trials each
    python examples/scaling_workers.py joblib --max-trials 200

``joblib``     4 trials at once, each in a process of its own
``shared``     10 processes for 2 trials: each has 5 of them for the 5 folds of its cross-validation
               (``--processes 4``: 4 for 2 trials)
``dask``       the same on a dask cluster, whose workers trials and folds share
``threading``  2 trials at once in threads of this process

Needs: pip install '.[examples,dask]'
"""

import argparse

import joblib
import numpy
from sklearn import datasets
from sklearn.model_selection import cross_validate
from sklearn.svm import SVC

from orion_hpc.client import build_experiment

SPACE = {
    "C": "loguniform(1e-6, 1e6)",
    "gamma": "loguniform(1e-8, 1e8)",
    "tol": "loguniform(1e-4, 1e-1)",
    "class_weight": "choices([None, 'balanced'])",
}


def main(C, gamma, tol, class_weight, joblib_backend="loky"):
    """Return the error rate of a classifier with these hyperparameters, in the form of a result."""
    digits = datasets.load_digits()
    X = digits.images.reshape((len(digits.images), -1))  # (1797, 64): 8 x 8 pixels each
    y = digits.target  # (1797,): 0 to 9

    model = SVC(kernel="rbf", C=C, gamma=gamma, tol=tol, class_weight=class_weight)

    # The backend decides where the five folds run: in the processes that the trial has to itself
    # (loky), or wherever the cluster has room (dask).
    with joblib.parallel_backend(joblib_backend):
        scores = cross_validate(model, X, y, cv=5)["test_score"]

    error_rate = 1 - numpy.mean(scores)
    return [{"name": "test_error_rate", "type": "objective", "value": error_rate}]


def run(way, database, max_trials, processes=10):
    """Run a search in one of the ways; return the experiment."""
    experiment = build_experiment(
        f"digits-{way}",
        space=SPACE,
        algorithm={"random": {"seed": 1}},
        max_trials=max_trials,
        storage={"type": "legacy", "database": {"type": "pickleddb", "host": database}},
    )
    if way == "joblib":
        # The default: nothing special to do. n_workers is how many trials run at once.
        experiment.workon(main, n_workers=4)
    elif way == "shared":
        # Here it is said twice: how many processes there are, and how many trials share them.
        with experiment.tmp_executor("joblib", n_workers=processes):
            experiment.workon(main, n_workers=2)
    elif way == "dask":
        with experiment.tmp_executor("dask", n_workers=processes):
            experiment.workon(main, n_workers=2, joblib_backend="dask")
    elif way == "threading":
        with experiment.tmp_executor("joblib", n_workers=2, backend="threading"):
            experiment.workon(main, joblib_backend="sequential")
    return experiment


WAYS = ("joblib", "shared", "dask", "threading")

# dask imports this file again in each of its processes; what stands here must not run there.
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--max-trials", type=int, default=6)
    parser.add_argument("--processes", type=int, default=10, help="of shared and dask (10)")
    parser.add_argument("--database", default="scaling_workers.pkl")
    arguments = parser.parse_args()
    if unknown := set(arguments.ways) - set(WAYS):
        parser.error(f"there is no way called {', '.join(sorted(unknown))}")
    for way in arguments.ways or WAYS:
        stats = run(way, arguments.database, arguments.max_trials, arguments.processes).stats
        print(
            f"{way}: {stats.trials_completed} trials in {stats.duration.total_seconds():.1f} s, "
            f"best error rate {stats.best_evaluation:.3f}"
        )
