#!/bin/bash
# filelock 4.3.1, Python 3.11 on Linux.
#
# A SoftFileLease is taken over when its holder hasn't refreshed it for lease_duration, but only if
# the marker has a record in it. An empty marker is "one still writing its record" for ever, however
# old it is. And one without permission to write isn't contention at all: acquire raises
# PermissionError at once, and never takes it over, though its directory is writable and the marker
# could be removed. NFS 3 leaves exactly such files: an exclusive create (O_CREAT|O_EXCL) is a CREATE,
# which stores a random verifier in the file's times, and a SETATTR, which sets mode and times; where
# the client dies or the export becomes read-only in between, the file stays empty, with mode 0 and
# a date in 2032, for instance.
#
# One would guess: that whatever is at the marker's place and isn't refreshed for longer than the
# lease is taken over; that is what a lease is for.
#
# Seen, after three lease durations: empty, 0600: Timeout · empty, 0000: PermissionError ·
# a dead holder's record: acquired
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet filelock==4.3.1

cat >"$work/markers.py" <<'PYTHON'
import multiprocessing
import os
import signal
import sys
import time

from filelock import SoftFileLease

DURATION = 1.0


def lease(path):
    return SoftFileLease(path, lease_duration=DURATION, thread_local=False)


def hold(path):
    lease(path).acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def outcome(path):
    end = time.monotonic() + 3 * DURATION
    while True:
        try:
            lease(path).acquire(blocking=False)
            return "acquired"
        except OSError as error:
            if time.monotonic() > end:
                return type(error).__name__
        time.sleep(0.1)


if __name__ == "__main__":
    for name, mode in (("private", 0o600), ("bare", 0)):
        os.close(os.open(name, os.O_CREAT | os.O_EXCL, mode))
        os.utime(name, (1972000000, 1972000000))
    process = multiprocessing.get_context("fork").Process(target=hold, args=("held",))
    process.start()
    process.join()
    # Root may write to any file; to other users a mode of 0 means what it says.
    if os.geteuid() == 0:
        for name in (".", *os.listdir()):
            os.chown(name, 65534, 65534)
        os.seteuid(65534)
    print(*(outcome(name) for name in ("private", "bare", "held")))
PYTHON

chmod 711 "$work"
mkdir "$work/markers"
cd "$work/markers"
told=$("$work/venv/bin/python" "$work/markers.py" 2>err.txt) || { cat err.txt; exit 1; }
echo "$told"
[ "$told" = "Timeout PermissionError acquired" ]
echo "as it was"
