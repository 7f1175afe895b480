#!/bin/bash
# joblib 1.6.0 (loky 3.6.0 inside), Python 3.11 on Linux.
#
# In a worker of joblib's default pool an explicit "spawn" context can't start a process. The
# worker's own default start method is "loky"; spawn hands the name of the parent's default to the
# child, which sets it before it does anything else, and an interpreter without joblib has no such
# method: it ends with exit code 1 before the target is called. "fork" works.
#
# One would guess: that only the default is affected ("'Process' object has no attribute 'env'"), and
# that asking for multiprocessing.get_context("spawn"), as PyTorch's loaders and others do, is a way
# around it.
#
# Seen: default: AttributeError · fork: 0 · spawn: 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet joblib==1.6.0

cat >"$work/trial.py" <<'PYTHON'
import multiprocessing
import sys

from joblib import Parallel, delayed


def start(method):
    process_class = multiprocessing if method == "default" else multiprocessing.get_context(method)
    process = process_class.Process(target=abs, args=(-1,))
    try:
        process.start()
    except AttributeError as error:
        return f"AttributeError: {error}"
    process.join(60)
    return process.exitcode


if __name__ == "__main__":
    found = Parallel(n_jobs=2)(delayed(start)(method) for method in sys.argv[1:])
    print(dict(zip(sys.argv[1:], found)))
    # Without a pool all three work.
    print({method: start(method) for method in sys.argv[1:]})
PYTHON

cd "$work"
told=$(venv/bin/python trial.py default fork spawn 2>err.txt)
echo "$told"
grep -q "cannot find context for 'loky'" err.txt
[ "$told" = "{'default': \"AttributeError: 'Process' object has no attribute 'env'\", 'fork': 0, 'spawn': 1}
{'default': 0, 'fork': 0, 'spawn': 0}" ]
echo "as it was"
