"""The coordinator of ``orion-hpc doctor``: checks this host, the storage and Slurm's nodes.

This host takes part in all probes, as number -1: it submits, cancels and repairs, and so writes
into the database beside the workers. Where all tasks run on one node, there still are two hosts.

All files lie in a folder beside the database, which is removed at the end. The database itself is
only read.
"""

from __future__ import annotations

import contextlib
import glob
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from orion_hpc.config.settings import Settings
from orion_hpc.doctor import agent
from orion_hpc.doctor.contest import Contest
from orion_hpc.doctor.findings import Findings
from orion_hpc.doctor.host_facts import HostFacts, gather_facts
from orion_hpc.doctor.probes import Rehearsal
from orion_hpc.doctor.quota import quota_command, read_quota
from orion_hpc.errors import ConfigurationError, LaunchError, OrionHpcError, StorageError
from orion_hpc.jobs.base import Jobs, Launcher, LaunchRequest
from orion_hpc.jobs.launch_request import sbatch_options
from orion_hpc.jobs.submission import choose_launcher
from orion_hpc.journal import creation
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.sharedfs import removal
from orion_hpc.sharedfs.atomic import new_file
from orion_hpc.sharedfs.hints import hint
from orion_hpc.slurm import queue
from orion_hpc.slurm.commands import ask
from orion_hpc.slurm.site import ask_site, complaints

_QUEUE_INTERVAL, _LOOK_INTERVAL = 3.0, 0.5
_LEAVE_TIME, _KILL_TIME, _REMOVE_TIME = 5.0, 40.0, 10.0
_SLACK = 300
"""Seconds that a job may need in addition to waiting for the others."""

_TRACE = re.compile(r"Error: \S|\w+(Error|Exception)\b.*: ")
_SLURMS = ("srun: ", "slurmstepd: ")


def choose(executor: str, settings: Settings, nodes: int) -> tuple[Launcher, str]:
    """Return the launcher of the tasks, and why it starts processes of this host, if it does.

    Raises
    ------
    ConfigurationError, LaunchError
        There is no such executor, or it can't be used here.
    """
    if executor not in ("auto", "slurm", "local"):
        raise ConfigurationError(
            f"the executor {executor!r} can't be checked", "Use slurm, or local for this host only."
        )
    if not nodes and executor != "slurm":
        executor, why = "local", "no node was asked for"
    else:
        why = "there is no sbatch on the PATH" if executor == "auto" else "as was asked for"
    launcher = choose_launcher(executor, settings)
    launcher.check()
    return launcher, "" if launcher.detached else why


class Doctor:
    """Makes the checks: a context manager in which :meth:`steps` is to be exhausted.

    Afterwards :attr:`found` has the findings. Jobs and files are removed at the end of the block,
    whatever happens; :attr:`left` says what couldn't be.

    Parameters
    ----------
    settings : Settings
        For the storage and the options of sbatch.
    launcher : Launcher
        Starts the tasks.
    local : str
        Why Slurm isn't checked, ``''`` where it is.
    tasks : int
        How many to start.
    wait : float
        Seconds for the tasks to begin.
    """

    def __init__(
        self, settings: Settings, launcher: Launcher, local: str, tasks: int, wait: float
    ) -> None:
        self.found = Findings(settings.storage, local, tasks)
        self.left: list[str] = []
        self._settings = settings
        self._launcher = launcher
        self._wait = wait
        self._token = os.urandom(4).hex()
        self._folder = ""
        self._launching = False
        self._jobs: Jobs | None = None
        self._contest: Contest | None = None
        self._rehearsal: Rehearsal | None = None
        self._parties: dict[int, str] = {}
        self._apart: set[int] = set()
        self._signals: dict[signal.Signals, Any] = {}

    # -- the block -------------------------------------------------------------------------------

    def __enter__(self) -> Doctor:
        if threading.current_thread() is threading.main_thread():
            # A closed terminal and a SIGTERM clean up as Ctrl-C does.
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                self._signals[number] = signal.signal(number, signal.default_int_handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)  # the cleanup must not be interrupted
        try:
            self._end_jobs(hurried=kind is not None)
            self._remove()
        finally:
            for number, handler in self._signals.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def steps(self) -> Iterator[str]:
        """Make one check after the other; yield what is being done."""
        if not self.found.local:
            yield "asking Slurm"
            self.found.cluster = ask_site().cluster
            self.found.slurm = complaints()
        yield "looking at the storage"
        self._prepare()
        if self.found.here is None:
            return
        self._look_at_quota()
        if self._contest is None or self._rehearsal is None or not self._launch():
            return
        yield from self._await_tasks(self._contest)
        if self._parties:
            try:
                yield from self._contest.steps(
                    self._parties, self._apart, self._rehearsal, self.found
                )
            except OSError as error:
                self.found.journal_trouble.append(f"this host: {error.strerror or error}")

    # -- this host -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Create the folder and the files in it that all parties need."""
        found = self.found
        try:
            path = creation.real_path(self._settings.storage)
            if not self._has_folder(path):
                return
            lock: str | None = self._settings.lock
            if creation.is_there(path):
                try:
                    database = PickledDB(path)
                    lock = found.database_lock = database.lock
                    database.close()
                except OrionHpcError as error:
                    found.database_trouble, found.database_hint = error.message, error.hint
            folder = f"{path}.doctor-{self._token}"
            # Other users may write beside the database, but not what jobs load.
            self._folder = folder
            os.mkdir(folder, 0o700)
            found.here = gather_facts(folder, os.environ)
            self._rehearsal = Rehearsal.prepare(folder, lock)
            found.lock = self._rehearsal.lock
            brief = {"tasks": found.asked, "patience": self._wait + _SLACK / 2}
            with new_file(os.path.join(folder, agent.BRIEF)) as file:
                file.write(json.dumps(brief).encode())
            self._contest = Contest(folder, found.asked)
        except StorageError as error:
            found.trouble, found.hint = error.message, error.hint
        except OSError as error:
            found.trouble = f"can't write beside {found.storage}: {error.strerror}"
            found.hint = hint(error.errno, found.storage, "Name another place with --storage.")
        if found.trouble and found.here is not None and not found.here.trouble:
            found.journal_trouble.append(found.trouble)

    def _has_folder(self, path: str) -> bool:
        """Return whether the folder of the database is there; write down what is missing if not.

        A name without a suffix, of which there is nothing, is taken for a folder's.
        """
        found, folder = self.found, os.path.dirname(path)
        if not os.path.isdir(folder):
            found.trouble = f"there is no folder {folder} for the database {path}"
            make = f"mkdir -p {shlex.quote(folder)}"
            found.hint = f"Make it with '{make}', or name another place with --storage."
        elif not os.path.lexists(path) and not os.path.splitext(path)[1]:
            found.trouble = f"there is neither a database nor a folder {path}"
            found.hint = "Name a database file in a folder that is there, as in ./db.pkl."
        return not found.trouble

    def _look_at_quota(self) -> None:
        found = self.found
        kind = found.here.file_system if found.here else ""
        command = quota_command(kind, self._folder, os.getuid())
        if shutil.which(command[0]) is None:
            found.quota_trouble = f"there is no command {command[0]} here that reports it"
            return
        answer = ask(*command)
        # quota's exit code also says whether a limit was exceeded.
        found.quota = read_quota(answer.output)
        if found.quota is None:
            found.quota_trouble = f"{command[0]} doesn't report it" + (
                f": {answer.error.splitlines()[0]}" if answer.error else ""
            )

    # -- the others ------------------------------------------------------------------------------

    def _launch(self) -> bool:
        request = LaunchRequest(
            function=agent.run_agent,
            argument=self._folder,
            command=(sys.executable, "-m", "orion_hpc", "doctor", "--on-node", self._folder),
            tasks=self.found.asked,
            folder=os.path.join(self._folder, "jobs"),
            title=self._title,
            options=self._options(),
        )
        self._launching = True
        try:
            self._jobs = self._launcher.launch(request)
        except (LaunchError, StorageError) as error:
            self.found.refused, self.found.refused_hint = error.message, error.hint
        self._launching = False
        return self._jobs is not None

    @property
    def _title(self) -> str:
        return f"orion-hpc-doctor-{self._token}"

    def _options(self) -> dict[str, str | bool]:
        """Return the workers' options of sbatch, with a short time limit and without requeueing."""
        options = sbatch_options(self._settings)
        for name in ("job-name", "output", "error", "requeue"):
            options.pop(name, None)
        options["no-requeue"] = True
        limit = self._settings.slurm.time_limit
        if self._settings.origin("slurm.time") != "flags":
            need = math.ceil((self._wait + _SLACK) / 60)
            options["time"] = str(need if limit is None else min(need, math.ceil(limit / 60)))
        return options

    def _await_tasks(self, contest: Contest) -> Iterator[str]:
        """Wait until all tasks have reported, or no other will."""
        began, next_look, doubts = time.monotonic(), 0.0, 0
        self.found.started = True
        what, reason = f"waiting for {self.found.asked} tasks", ""
        while True:
            came = {party: HostFacts.of(facts) for party, facts in contest.arrivals().items()}
            now = time.monotonic()
            if len(came) == self.found.asked:
                break
            if now - began > self._wait:
                self.found.missing = reason or f"the others didn't within {self._wait:g} s"
                break
            if now >= next_look:
                next_look = now + (_QUEUE_INTERVAL if not self.found.local else 0.5)
                alive, reason = self._alive()
                # Twice: what a task wrote last may become visible after its end.
                doubts = doubts + 1 if alive is not None and alive <= len(came) else 0
                if doubts > 1:
                    self.found.missing = reason or "the others ended"
                    self.found.logs = self._log_ends()
                    break
            yield f"{what}: {len(came)} came" + (f", {reason}" if reason else "")
        self._parties = {party: facts.node for party, facts in came.items()}
        own = self.found.here.client if self.found.here else ""
        self._apart = {party for party, facts in came.items() if facts.client != own}
        self.found.nodes = [came[party] for party in sorted(came)]

    def _alive(self) -> tuple[int | None, str]:
        """Return how many tasks wait or run (None: unknown), and the state of the others."""
        if self._jobs is None:
            return 0, ""
        if self.found.local:
            return self._jobs.alive(), "; ".join(self._jobs.failures())
        known = queue.queued(self._jobs.ids)
        if known is None:
            return None, "squeue doesn't answer"
        waiting = [tasks for tasks in known if tasks.phase == "waits"]
        if waiting:
            reasons = sorted({tasks.reason for tasks in waiting if tasks.reason})
            count = sum(tasks.count for tasks in waiting)
            reason = f"{count} pending ({', '.join(reasons)})" if reasons else f"{count} pending"
        else:
            over = sorted({tasks.state for tasks in known if not tasks.in_queue})
            reason = f"the others ended ({', '.join(over)})" if over else ""
        return sum(tasks.count for tasks in known if tasks.in_queue), reason

    def _log_ends(self) -> list[str]:
        """Return the lines of the logs that say why jobs failed."""
        if self._jobs is None:
            return []
        ends: list[str] = []
        for path in sorted(glob.glob(_as_pattern(self._jobs.logs))):
            with contextlib.suppress(OSError), open(path, errors="replace") as file:
                lines = [line.strip() for line in file if line.strip()]
                lines = [line for line in lines if not line.startswith("submitit ")]
                lines = [line for line in lines if not line.startswith(_SLURMS)] or lines
                telling = [line for line in lines if _TRACE.match(line)] or lines
                ends += [line[:300] for line in telling[-1:]]
        return list(dict.fromkeys(ends))[:3]

    # -- the end ---------------------------------------------------------------------------------

    def _end_jobs(self, hurried: bool) -> None:
        """End all jobs as far as possible; ``hurried``: they haven't completed their orders."""
        if self._contest is not None:
            with contextlib.suppress(OSError):
                self._contest.end()
        if self._jobs is None:
            if self._launching and not self.found.local:
                # sbatch may have submitted the job just before it was interrupted.
                queue.cancel_called(self._title)
        elif self.found.local:
            self._jobs.stop(_LEAVE_TIME)
        else:
            self._cancel(self._jobs, hurried)

    def _cancel(self, jobs: Jobs, hurried: bool) -> None:
        if not hurried and not self.found.missing and self._gone(jobs, _LEAVE_TIME):
            return
        answer = queue.cancel(jobs.ids)
        if not answer.ok and not self._gone(jobs, 0.0):
            error = answer.error.partition("\n")[0] or "scancel failed"
            self.left.append(f"Slurm job {', '.join(jobs.ids)} wasn't cancelled: {error}")
        elif not self._gone(jobs, _KILL_TIME):
            self.left.append(f"Slurm job {', '.join(jobs.ids)} was cancelled, and still ends.")

    def _gone(self, jobs: Jobs, seconds: float) -> bool:
        """Return whether no task waits or runs any more, after at most ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            known = queue.queued(jobs.ids)
            if known is not None and not any(tasks.in_queue for tasks in known):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_INTERVAL)

    def _remove(self) -> None:
        """Remove the folder with all files of the check."""
        if self._rehearsal is not None:
            self._rehearsal.close()
        deadline = time.monotonic() + _REMOVE_TIME
        parent, name = os.path.split(self._folder)
        while os.path.lexists(self._folder):
            try:
                removal.remove_folder(parent, name)
                break
            except OSError as trouble:
                # A job that ends may write once more, and NFS keeps files that are open.
                error = trouble.strerror or str(trouble)
            if time.monotonic() > deadline:
                self.left.append(f"{self._folder} couldn't be removed: {error}")
                return
            time.sleep(_LOOK_INTERVAL)


def _as_pattern(logs: str) -> str:
    """Return a launcher's pattern of logs for glob, with glob's characters in the user's path
    escaped."""
    folder, name = os.path.split(logs)
    return os.path.join(glob.escape(folder), name)
