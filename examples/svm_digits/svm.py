"""An RBF support vector machine on scikit-learn's handwritten digits, to be tuned.

Five-fold cross-validation runs in parallel on the CPUs that the trial has.
"""

import joblib
import numpy as np
from sklearn import datasets
from sklearn.model_selection import cross_validate
from sklearn.svm import SVC


def main(C, gamma, tol, class_weight, joblib_backend="loky"):
    """Return the share of digits that are told wrongly, as an objective to minimise."""
    X, y = datasets.load_digits(return_X_y=True)
    model = SVC(kernel="rbf", C=C, gamma=gamma, tol=tol, class_weight=class_weight)

    with joblib.parallel_backend(joblib_backend):
        cv_results = cross_validate(model, X, y, cv=5)

    error_rate = 1 - np.mean(cv_results["test_score"])
    return [{"name": "test_error_rate", "type": "objective", "value": float(error_rate)}]
