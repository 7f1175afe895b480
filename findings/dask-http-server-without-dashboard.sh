#!/bin/bash
# distributed 2026.8.0, Python 3.11 on Linux.
#
# LocalCluster(dashboard_address=None) has no dashboard, as documented, but its scheduler still serves
# HTTP, on the dashboard's default port 8787. Where that is taken, by a second such cluster of the
# same host for example, there is a warning, and a free port is used. Only an address for a dashboard
# that there isn't moves it: scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}.
#
# One would guess: that without a dashboard nothing asks for its port, and that two programs with a
# local cluster each, as two jobs on one node, don't meet.
#
# Seen: "Port 8787 is already in use. Perhaps you already have a cluster running?" without an address,
# no warning with one; no dashboard in either case.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet dask==2026.8.0 distributed==2026.8.0

cat >"$work/clusters.py" <<'PYTHON'
import contextlib
import socket
import warnings

from distributed import LocalCluster


def warnings_of(**options):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with LocalCluster(
            n_workers=0, processes=False, dashboard_address=None, silence_logs=50, **options
        ) as cluster:
            paths = [rule.target for rule in cluster.scheduler.http_application.wildcard_router.rules]
            assert not any("bokeh" in str(path) for path in paths)
    return sum("Port 8787 is already in use" in str(one.message) for one in seen)


if __name__ == "__main__":
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # somebody else has it: just as well
            other.bind(("0.0.0.0", 8787))
            other.listen()
        print(warnings_of(), warnings_of(scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}))
PYTHON

cd "$work"
told=$(venv/bin/python clusters.py 2>err.txt)
echo "$told"
[ "$told" = "1 0" ]
echo "as it was"
