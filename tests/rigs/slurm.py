"""A private, real Slurm cluster of several nodes on one host, for the tests.

This module knows how Slurm is started, used, broken on purpose and taken down; it knows nothing of
orion-hpc. What the daemons are told is in `slurm_conf`, what keeps them from outliving the tests in
`supervisor`, how a node's processes are found in `processes`.

Debian's Slurm can run several ``slurmd`` on one host (``slurmd -N n1``), so one ``munged``, one
``slurmctld`` and four ``slurmd`` are a cluster of four nodes. All of it lives in one temporary
directory, on free ports, behind its own ``SLURM_CONF``: a Slurm that the machine already runs is
neither used nor disturbed.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

from tests.rigs.processes import below, kill, step_daemons
from tests.rigs.slurm_conf import Ports, Site, mariadb_sql, slurm_conf, slurmdbd_conf
from tests.rigs.supervisor import Supervisor
from tests.rigs.waiting import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")
ACCOUNTING_PROGRAMS = ("mariadbd", "mariadb-install-db", "slurmdbd", "sacct", "sacctmgr")
#: Variables that a job sets for its own programs. Tests that run inside a Slurm job must not hand
#: them to the private cluster's commands.
CLIENT_VARIABLES = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SCANCEL_", "SINFO_", "SACCT_")
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")

_JOB_FIELDS = {
    "id": "%i",
    "array_job_id": "%F",
    "array_task_id": "%K",
    "state": "%T",
    "partition": "%P",
    "node": "%N",
    "reason": "%r",
    "name": "%j",  # last, for it alone may hold the separator
}


class ClusterError(RuntimeError):
    """The cluster didn't do what it was told; the message ends with the tails of its logs."""


def missing_for_slurm(accounting: bool = False) -> str | None:
    """Why a cluster can't be started here, or None when it can."""
    if os.geteuid() != 0:
        return "the private Slurm cluster needs root (slurmctld and slurmd run as one user)"
    programs = (*PROGRAMS, *ACCOUNTING_PROGRAMS) if accounting else PROGRAMS
    packages = "slurm-wlm munge" + (" slurmdbd mariadb-server" if accounting else "")
    missing = [name for name in programs if shutil.which(name, path=_search_path()) is None]
    return f"not installed: {', '.join(missing)} (apt install {packages})" if missing else None


class SlurmCluster:
    """`nodes` nodes n1, n2, … of `cpus` CPUs and `memory` MB each, all of them on this host.

    The CPUs are pretended: Slurm schedules by them, the host has what it has. `extra` adds to or
    replaces settings of slurm.conf. With `accounting` a private mariadbd and slurmdbd make `sacct`
    work; without it `sacct` fails, as it does on many sites.

    The partitions are `main` (the default) and `high`, whose jobs preempt those in `main` by
    requeueing them.
    """

    def __init__(
        self,
        nodes: int = 4,
        cpus: int = 5,
        memory: int = 4000,
        extra: Mapping[str, str] | None = None,
        accounting: bool = False,
    ) -> None:
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.cpus = cpus
        self.memory = memory
        self.extra = dict(extra or {})
        self.accounting = accounting
        self.directory: Path | None = None
        self._supervisor: Supervisor | None = None
        self._pids: dict[str, int] = {}

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Return when all nodes are idle; raise `ClusterError` when they aren't within 30 s."""
        if self.directory is not None:
            raise RuntimeError("this cluster has been started already")
        # Short on purpose: the path of a Unix socket may have no more than 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="orion-slurm-", dir="/tmp"))
        try:
            self._supervisor = Supervisor(self.directory)
            # All at once: a second call might return some of the first one's.
            slurmctld, slurmdbd, mariadbd, *nodes = _free_ports(3 + len(self.nodes))
            by_name = dict(zip(self.nodes, nodes, strict=True))
            ports = Ports(slurmctld, slurmdbd, mariadbd, by_name)
            self._write_files(ports)
            self._start_daemons(ports)
        except BaseException as error:
            logs = self.logs()
            self.stop()
            if isinstance(error, (ClusterError, OSError, subprocess.SubprocessError)):
                raise ClusterError(f"the Slurm cluster didn't start: {error}\n{logs}") from error
            raise

    def stop(self) -> None:
        """Take down all daemons, steps and jobs, and remove the directory. Harmless if repeated."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.close()
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
        self.directory = None
        self._pids.clear()

    def __enter__(self) -> SlurmCluster:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- use ----------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """What to put on top of `os.environ` so that Slurm's commands speak to this cluster."""
        return {"SLURM_CONF": str(self._path("slurm.conf")), "PATH": _search_path()}

    def run(
        self, *argv: str, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command against this cluster. With `check` its failure is a `ClusterError`."""
        done = subprocess.run(
            argv,
            env={**_clean_environment(), **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise ClusterError(
                f"{' '.join(argv)} ended with code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def jobs(self) -> list[dict[str, str]]:
        """The jobs that are pending, running or ending; one entry for each array task.

        Keys: id ("7" or "7_3"), array_job_id, array_task_id ("N/A" outside arrays), state (such as
        "RUNNING"), partition, node, reason, name.
        """
        form = "|".join(_JOB_FIELDS.values())
        lines = self.run("squeue", "--noheader", "--array", "--all", "-o", form).stdout.splitlines()
        return [
            dict(zip(_JOB_FIELDS, line.split("|", len(_JOB_FIELDS) - 1), strict=True))
            for line in lines
        ]

    def wait_for_jobs(self, timeout: float = 60) -> None:
        """Return when no job is left in the queue."""
        try:
            wait_until(lambda: not self.jobs(), timeout, "the queue to be empty")
        except TimeoutError as error:
            raise ClusterError(f"{error}\n{self.run('squeue').stdout}{self.logs()}") from error

    def cancel_jobs(self, timeout: float = 30) -> None:
        """Cancel every job, kill its processes without grace, return when none is left."""
        # A job ID of an array stands for all its tasks, so the command line stays short.
        if ids := sorted({job["array_job_id"] for job in self.jobs()}):
            self.run("scancel", *ids, check=False)  # a job that ended meanwhile is an error
            for daemon in step_daemons(self._path("")):
                kill(below(daemon))
            self.wait_for_jobs(timeout)

    def kill_node(self, name: str, noticed: bool = False) -> None:
        """Let a node die: its slurmd and all it ran are gone at once, without a word.

        slurmctld finds out by itself, which takes about 17 s with the default settings (see
        `wait_for_node`), or is told so with `noticed`. Then it requeues or fails the node's jobs.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            # First, so that it can't start or report anything any more.
            kill([psutil.Process(self._pids.pop(name))])
        for daemon in step_daemons(self._path(name)):
            kill([daemon, *below(daemon)])
        if noticed:
            self.run("scontrol", "update", f"nodename={name}", "state=down", "reason=killed")

    def start_node(self, name: str) -> None:
        """Start a node that was killed, and return when Slurm can use it again."""
        self._spawn_node(name)
        self.wait_for_node(name, "idle", "mixed", "allocated")

    def stop_controller(self) -> None:
        """Stop slurmctld, which saves its state: nobody answers any more, and the jobs run on."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._pids.pop("slurmctld"))
            process.terminate()
            process.wait(15)

    def start_controller(self) -> None:
        """Start slurmctld again with what it remembers; return when it answers."""
        self._spawn("slurmctld", "slurmctld", "-D")

        def answers() -> bool:
            return "UP" in self.run("scontrol", "ping", check=False).stdout

        wait_until(answers, 30, "slurmctld answers")

    def power_off(self) -> None:
        """Let all nodes die with what runs there, and slurmctld leave before it notices."""
        self.stop_controller()
        for name in self.nodes:
            self.kill_node(name)

    def power_on(self) -> None:
        """Start all of it again, and return when the nodes are there."""
        self.start_controller()
        for name in self.nodes:
            self._spawn_node(name)
        for name in self.nodes:
            self.wait_for_node(name, "idle", "mixed", "allocated")

    def wait_for_node(self, name: str, *states: str, timeout: float = 30) -> None:
        """Return when `sinfo` gives a node one of these states ("down", "idle", "mixed", …)."""
        wait_until(
            lambda: self.node_states().get(name) in states,
            timeout,
            f"node {name} to be {' or '.join(states)}",
        )

    def node_states(self) -> dict[str, str]:
        """The state of each node, with the flags that `sinfo` appends ("down*": no answer)."""
        done = self.run("sinfo", "--noheader", "-N", "-p", "main", "-o", "%N %T", check=False)
        return dict(line.split() for line in done.stdout.splitlines())

    def reset(self) -> None:
        """Make it as it was at the start: no job, and all nodes idle."""
        self.cancel_jobs()
        for name in self.nodes:
            if name not in self._pids:
                self._spawn_node(name)
        self._wait_for_idle_nodes(30)

    def logs(self, lines: int = 8) -> str:
        """The last lines of every daemon's log."""
        if self.directory is None:
            return ""
        parts = []
        for output in sorted(self.directory.glob("*.out")):
            # A daemon that stumbles over its configuration dies before it opens its log.
            log = output.with_suffix(".log")
            text = (log if log.exists() else output).read_text(errors="replace")
            parts.append("\n".join([f"--- {output.stem}", *text.splitlines()[-lines:]]))
        return "\n".join(parts)

    # -- how it is done -----------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        if self.directory is None:
            raise RuntimeError("this cluster isn't running")
        return self.directory / name

    def _write_files(self, ports: Ports) -> None:
        site = Site(
            directory=self._path(""),
            host=socket.gethostname(),
            ports=ports,
            cpus=self.cpus,
            memory=self.memory,
            extra=self.extra,
            accounting=self.accounting,
        )
        for name in ("state", "tmp", *self.nodes):
            self._path(name).mkdir()
        key = self._path("munge.key")
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self._path("slurm.conf").write_text(slurm_conf(site))
        if self.accounting:
            password = secrets.token_hex(16)
            conf = self._path("slurmdbd.conf")
            conf.touch(mode=0o600)  # slurmdbd refuses a file that others can read
            conf.write_text(slurmdbd_conf(site, password))
            self._path("mariadb.sql").write_text(mariadb_sql(password))

    def _start_daemons(self, ports: Ports) -> None:
        here = self._path("")
        self._spawn(
            "munged",
            *("munged", "--foreground", "--force", f"--key-file={here}/munge.key"),
            *(f"--socket={here}/munge.socket", f"--seed-file={here}/munge.seed"),
            *(f"--pid-file={here}/munge.pid", f"--log-file={here}/munged.log"),
        )
        wait_until((here / "munge.socket").exists, 10, "munged's socket")
        if self.accounting:
            self._start_accounting(ports)
        self._spawn("slurmctld", "slurmctld", "-D", "-c")
        # A slurmd that finds no slurmctld asks again only after a second or more.
        self._wait_for_port("slurmctld", ports.slurmctld)
        for name in self.nodes:
            self._spawn_node(name)
        self._wait_for_idle_nodes(30)

    def _start_accounting(self, ports: Ports) -> None:
        here = self._path("")
        options = (f"--datadir={here}/mariadb", "--user=root", "--innodb-log-file-size=8M")
        self.run("mariadb-install-db", "--no-defaults", "--skip-test-db", *options)
        self._spawn(
            "mariadbd",
            *("mariadbd", "--no-defaults", *options, f"--init-file={here}/mariadb.sql"),
            *("--bind-address=127.0.0.1", f"--port={ports.mariadbd}", "--skip-name-resolve"),
            *(f"--socket={here}/mariadb.socket", f"--pid-file={here}/mariadb.pid"),
        )
        self._wait_for_port("mariadbd", ports.mariadbd)
        self._spawn("slurmdbd", "slurmdbd", "-D")
        self._wait_for_port("slurmdbd", ports.slurmdbd)
        # slurmctld refuses to start before slurmdbd can tell it what is accounted for.
        self.run("sacctmgr", "--immediate", "add", "cluster", "orion")

    def _wait_for_port(self, daemon: str, port: int) -> None:
        def listens() -> bool:
            if not psutil.pid_exists(self._pids[daemon]):
                raise ClusterError(f"{daemon} has died")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, 15, f"{daemon} to listen at port {port}")

    def _wait_for_idle_nodes(self, timeout: float) -> None:
        idle = dict.fromkeys(self.nodes, "idle")
        try:
            wait_until(lambda: self.node_states() == idle, timeout, "all nodes to be idle")
        except TimeoutError as error:
            raise ClusterError(f"{error}: {self.node_states()}\n{self.logs()}") from error

    def _spawn_node(self, name: str) -> None:
        self._spawn(name, "slurmd", "-D", "-N", name)

    def _spawn(self, name: str, *argv: str) -> None:
        if self._supervisor is None:
            raise RuntimeError("this cluster isn't running")
        env = {**_clean_environment(), **self.env}
        self._pids[name] = self._supervisor.spawn(argv, env, self._path(f"{name}.out"))


def _search_path() -> str:
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*path, *(d for d in _SBIN if d not in path)])


def _clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(CLIENT_VARIABLES)}


def _free_ports(number: int) -> list[int]:
    """Ports that nobody listens at, all of them different.

    Not of those that the kernel gives to whoever asks for any: other tests do, before the daemons
    are up.
    """
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found
