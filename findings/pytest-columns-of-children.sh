#!/bin/bash
# pytest 9.1.1, Python 3.11 with GNU readline, Linux.
#
# A program that a test starts sees COLUMNS=80 and LINES=24, though neither is in os.environ of the
# test, nor in the environment that pytest was started with. pytest imports readline; GNU readline
# sets both variables in the environment of the C library, past os.environ. subprocess hands that one
# on, unless it is given an environment. So the width of a pseudo-terminal that the test has set, for
# a program that asks shutil.get_terminal_size() (as rich and click do), has no effect.
#
# One would guess: that a child's environment is os.environ, and so that env=None and
# env=dict(os.environ) are the same.
#
# Seen: in os.environ: False; in the child: 80, terminal size 80; with env=dict(os.environ): None, 60.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pytest==9.1.1

cat >"$work/test_width.py" <<'PYTHON'
import os
import pty
import subprocess
import sys

ASK = "import os, shutil; print(os.environ.get('COLUMNS'), shutil.get_terminal_size().columns)"


def on_a_terminal(env):
    """Return what a program on a terminal of 60 columns says."""
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "cols", "60"], stdin=theirs, check=True)
    subprocess.run([sys.executable, "-c", ASK], stdin=theirs, stdout=theirs, check=True, env=env)
    os.close(theirs)
    return os.read(ours, 1000).decode().strip()


def test_width():
    found = "COLUMNS" in os.environ, on_a_terminal(None), on_a_terminal(dict(os.environ))
    print(f"seen: {found}")
PYTHON

cd "$work"
found=$(env -u COLUMNS -u LINES venv/bin/python -m pytest -q -s -p no:cacheprovider test_width.py </dev/null)
found=$(grep -o "seen: .*)" <<<"$found")
echo "$found"
[ "$found" = "seen: (False, '80 80', 'None 60')" ]
echo "as it was"
