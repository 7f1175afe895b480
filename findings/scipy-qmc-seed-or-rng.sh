#!/bin/bash
# scipy 1.17.1, numpy 2.4.6, Python 3.11.
#
# Engines of scipy.stats.qmc give other points for rng=5 than for seed=5. Since scipy 1.15 both
# spellings of the argument are there (the old one is to be deprecated), and the documentation of the
# new one says that an integer goes to numpy.random.default_rng, as it did before. What differs: with
# rng= the engine doesn't use that generator but a child that it spawns from it. A Generator that is
# passed behaves as under rng=, whichever the name.
#
# One would guess: that renaming the argument, as a coming deprecation asks for, keeps the points,
# and that seed=5 and seed=default_rng(5) are the same. A search that is resumed under a program with
# the new spelling goes on with the points of another sequence.
#
# Seen, for Sobol, Halton and LatinHypercube alike: seed=5 equals rng=5: False; seed=5 equals
# seed=default_rng(5): False; rng=5 equals seed=default_rng(5): True.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6

found=$("$work/venv/bin/python" - <<'PYTHON'
from numpy.random import default_rng
from scipy.stats import qmc

for engine in (qmc.Sobol, qmc.Halton, qmc.LatinHypercube):
    old = engine(d=2, seed=5).random(4)
    new = engine(d=2, rng=5).random(4)
    given = engine(d=2, seed=default_rng(5)).random(4)
    print(engine.__name__, (old == new).all(), (old == given).all(), (new == given).all())
PYTHON
)
echo "$found"
[ "$found" = "Sobol False False True
Halton False False True
LatinHypercube False False True" ]
echo "as it was"
