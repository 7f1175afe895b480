"""What the benchmark of searches minimises: functions with known minima, and real tunings.

Sources of the functions: S. Surjanovic and D. Bingham, Virtual Library of Simulation Experiments,
www.sfu.ca/~ssurjano; L. C. W. Dixon and G. P. Szegö, Towards Global Optimisation 2 (1978).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

Params = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """A function of flat parameters.

    ``optimum`` is its least value, None where nobody knows: then the least that any search found
    stands in. ``fidelity`` names the dimension that is one, if there is one.
    """

    name: str
    space: dict[str, str]
    function: Callable[[Params], float]
    optimum: float | None
    fidelity: str | None = None


def _branin(x: float, y: float) -> float:
    a = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return a * a + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


_H6_WEIGHTS = (1.0, 1.2, 3.0, 3.2)
_H6_SCALES = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_H6_CENTRES = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def _hartmann6(values: list[float]) -> float:
    return -sum(
        weight
        * math.exp(-sum(s * (v - c) ** 2 for s, v, c in zip(scales, values, centres, strict=True)))
        for weight, scales, centres in zip(_H6_WEIGHTS, _H6_SCALES, _H6_CENTRES, strict=True)
    )


def _rosenbrock(values: list[float]) -> float:
    return sum(
        100 * (after - before**2) ** 2 + (1 - before) ** 2
        for before, after in itertools.pairwise(values)
    )


def _eggholder(x: float, y: float) -> float:
    y += 47
    first = y * math.sin(math.sqrt(abs(x / 2 + y)))
    return -first - x * math.sin(math.sqrt(abs(x - y)))


def _carrom(x: float, y: float) -> float:
    waves = math.cos(x) * math.cos(y)
    return -((waves * math.exp(abs(1 - math.hypot(x, y) / math.pi))) ** 2) / 30


def _mixed(lr: float, layers: int, kind: str, bias: bool) -> float:
    """A made-up learning: each kind has a rate of its own that suits it, one of them the best."""
    best, floor = {"adam": (-3.0, 0.0), "sgd": (-1.0, 0.4), "rms": (-4.0, 0.2)}[kind]
    return floor + (math.log10(lr) - best) ** 2 / 4 + abs(layers - 5) / 8 + 0.1 * bias


def _named(count: int) -> list[str]:
    return [f"x{place}" for place in range(count)]


def _reals(count: int, low: float, high: float) -> dict[str, str]:
    return dict.fromkeys(_named(count), f"uniform({low}, {high}, precision=None)")


def _svm(data: str) -> Callable[[Params], float]:
    def loss(params: Params) -> float:
        from sklearn.model_selection import cross_val_predict
        from sklearn.svm import SVC

        values, labels = _data(data)
        model = SVC(C=params["C"], gamma=params["gamma"])
        # Not the mean of the folds' scores: folds differ in size by one, and as many errors are a
        # tie wherever they are.
        return float((cross_val_predict(model, values, labels, cv=3) != labels).mean())

    return loss


@cache
def _data(name: str) -> tuple[Any, Any]:
    from sklearn import datasets, preprocessing

    found = datasets.load_digits() if name == "digits" else datasets.load_breast_cancer()
    # The first 500 are enough to tell good hyperparameters, and take 20 ms.
    return preprocessing.scale(found.data[:500]), found.target[:500]


_SVM = {"C": "loguniform(1e-3, 1e4)", "gamma": "loguniform(1e-7, 1e1)"}


def _biased_branin(p: Params) -> float:
    """Branin whose minimum lies elsewhere while the fidelity is low."""
    shift = 1.5 * (1 / p["epochs"] - 1 / 27)
    return _branin(p["x0"] + shift, p["x1"] - shift) + 20 / p["epochs"] - 20 / 27


def _learning(p: Params) -> float:
    curve = _curve(p["alpha"], p["eta0"])
    while len(curve.errors) < p["epochs"]:
        curve.train()
    return curve.errors[int(p["epochs"]) - 1]


class _Curve:
    """The errors of a linear classifier on held-out digits after 1, 2, … epochs."""

    def __init__(self, alpha: float, eta0: float) -> None:
        from sklearn.linear_model import SGDClassifier

        self.errors: list[float] = []
        self._model = SGDClassifier(
            alpha=alpha, eta0=eta0, learning_rate="constant", random_state=0
        )

    def train(self) -> None:
        """Train for an epoch more."""
        values, labels = _data("digits")
        self._model.partial_fit(values[:350], labels[:350], classes=list(range(10)))
        self.errors.append(float(1 - self._model.score(values[350:], labels[350:])))


_curve = lru_cache(maxsize=2_000)(_Curve)

_FIDELITY = {"epochs": "fidelity(1, 27, base=3)"}

PROBLEMS = {
    one.name: one
    for one in (
        Problem(
            "branin",
            {"x": "uniform(-5, 10, precision=None)", "y": "uniform(0, 15, precision=None)"},
            lambda p: _branin(p["x"], p["y"]),
            0.39788735772973816,
        ),
        Problem(
            "hartmann6", _reals(6, 0, 1), lambda p: _hartmann6([p[n] for n in _named(6)]), -3.32237
        ),
        Problem(
            "rosenbrock", _reals(4, -5, 10), lambda p: _rosenbrock([p[n] for n in _named(4)]), 0.0
        ),
        Problem(
            "eggholder",
            _reals(2, -512, 512),
            lambda p: _eggholder(p["x0"], p["x1"]),
            -959.6406627106155,
        ),
        Problem(
            "carrom", _reals(2, -10, 10), lambda p: _carrom(p["x0"], p["x1"]), -24.15681551650653
        ),
        Problem(
            "forrester",
            {"x": "uniform(0, 1, precision=None)"},
            lambda p: (6 * p["x"] - 2) ** 2 * math.sin(12 * p["x"] - 4),
            -6.020740055767083,
        ),
        Problem(
            "mixed",
            {
                "lr": "loguniform(1e-6, 1, precision=None)",
                "layers": "randint(1, 13)",
                "kind": "choices('adam', 'sgd', 'rms')",
                "bias": "choices([True, False])",
            },
            lambda p: _mixed(**p),
            0.0,
        ),
        Problem("svm digits", _SVM, _svm("digits"), None),
        Problem("svm cancer", _SVM, _svm("cancer"), None),
    )
}
"""With one fidelity."""

MULTI = {
    one.name: one
    for one in (
        Problem(
            "biased branin",
            {
                "x0": "uniform(-5, 10, precision=None)",
                "x1": "uniform(0, 15, precision=None)",
                **_FIDELITY,
            },
            _biased_branin,
            0.39788735772973816,
            "epochs",
        ),
        Problem(
            "sgd digits",
            {"alpha": "loguniform(1e-7, 10)", "eta0": "loguniform(1e-6, 10)", **_FIDELITY},
            _learning,
            None,
            "epochs",
        ),
    )
}
"""With a fidelity."""
