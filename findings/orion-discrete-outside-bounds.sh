#!/bin/bash
# orion 0.2.7 (scipy 1.17.1), Python 3.11.
#
# A discrete prior whose bounds aren't whole is drawn outside of them: uniform(0.5, 9.5,
# discrete=True) gives 0 and 10, each about half as often as a number between them. Its interval()
# says (0, 10), and 0 and 10 count as contained. With whole bounds all values are equally likely.
#
# One would guess: the whole numbers from 1 to 9, each with the same probability.
#
# Seen, of 20,000 draws: 0: 938, 10: 853, each other number about 2,000.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# orion uses pkg_resources, and needs typing_extensions without saying so.
"$work/venv/bin/pip" install --quiet orion==0.2.7 scipy==1.17.1 'setuptools<81' 'pandas<3' \
    typing_extensions

found=$("$work/venv/bin/python" - <<'PYTHON'
from collections import Counter

from orion.core.io.space_builder import SpaceBuilder

space = SpaceBuilder().build({"x": "uniform(0.5, 9.5, discrete=True)"})
drawn = Counter(trial.params["x"] for trial in space.sample(20000, seed=1))
between = [drawn[number] for number in range(1, 10)]
outside = [drawn[0], drawn[10]]
print(space["x"].interval(), sorted(drawn)[0], sorted(drawn)[-1])
print(all(0.3 < one / (sum(between) / 9) < 0.7 for one in outside))
print(0 in space["x"], 10 in space["x"])
PYTHON
)
echo "$found"
[ "$found" = "(0, 10) 0 10
True
True True" ]
echo "as it was"
