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


_MOST = 81
_FIDELITY = {"epochs": f"fidelity(1, {_MOST}, base=3)"}


def _biased_branin(p: Params) -> float:
    """Branin whose minimum lies elsewhere while the fidelity is low."""
    shift = 1.5 * (1 / p["epochs"] - 1 / _MOST)
    return _branin(p["x0"] + shift, p["x1"] - shift) + 20 / p["epochs"] - 20 / _MOST


def _network_loss(p: Params) -> float:
    network, losses = _network(p["rate"], p["momentum"], p["decay"])
    if p["epochs"] not in losses:
        network.train_until(p["epochs"])
        losses[p["epochs"]] = network.loss()
    return losses[p["epochs"]]


class _Network:
    """A layer of 32 units and one of 10 that learn 350 digits, tested on 150 others."""

    _BATCHES = 5
    _WORST = 30.0
    """Of one that has diverged."""

    def __init__(self, rate: float, momentum: float, decay: float) -> None:
        import numpy

        self._numpy, self._rng = numpy, numpy.random.default_rng(0)
        self._rate, self._momentum, self._decay = rate, momentum, decay
        values, labels = _data("digits")
        self._values, self._targets = values[:350], numpy.eye(10)[labels[:350]]
        self._others, self._labels = values[350:], labels[350:]
        draw = self._rng.normal
        self._weights = [draw(0, 1 / 8, (64, 32)), draw(0, 1 / 6, (32, 10))]
        self._steps = [0 * one for one in self._weights]
        self._epochs = 0

    def train_until(self, epochs: int) -> None:
        """Go on with stochastic gradient descent until so many epochs are trained."""
        count = len(self._values)
        with self._numpy.errstate(all="ignore"):
            for _ in range(self._epochs, epochs):
                for batch in self._rng.permutation(count).reshape(self._BATCHES, -1):
                    self._learn(self._values[batch], self._targets[batch])
        self._epochs = max(self._epochs, epochs)

    def loss(self) -> float:
        """Return the mean of the true classes' negative logarithms of probability."""
        with self._numpy.errstate(all="ignore"):
            _, chances = self._forward(self._others)
            chosen = chances[range(len(self._labels)), self._labels]
            loss = float(-self._numpy.log(chosen + 1e-12).mean())
        return loss if math.isfinite(loss) else self._WORST

    def _learn(self, values: Any, targets: Any) -> None:
        hidden, chances = self._forward(values)
        slope = (chances - targets) / len(values)
        inner = (slope @ self._weights[1].T) * (1 - hidden * hidden)
        for place, gradient in enumerate((values.T @ inner, hidden.T @ slope)):
            pull = gradient + self._decay * self._weights[place]
            self._steps[place] = self._momentum * self._steps[place] - self._rate * pull
            self._weights[place] = self._weights[place] + self._steps[place]

    def _forward(self, values: Any) -> tuple[Any, Any]:
        hidden = self._numpy.tanh(values @ self._weights[0])
        scores = hidden @ self._weights[1]
        powers = self._numpy.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, powers / powers.sum(axis=1, keepdims=True)


@lru_cache(maxsize=10_000)
def _network(rate: float, momentum: float, decay: float) -> tuple[_Network, dict[int, float]]:
    """Return a network, and its losses by epochs; for as long as it is looked at it trains on."""
    return _Network(rate, momentum, decay), {}


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
            "network",
            {
                "rate": "loguniform(1e-4, 1)",
                "momentum": "uniform(0, 0.99)",
                "decay": "loguniform(1e-6, 1e-1)",
                **_FIDELITY,
            },
            _network_loss,
            None,
            "epochs",
        ),
    )
}
"""With a fidelity."""
