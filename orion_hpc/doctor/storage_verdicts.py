"""Verdicts on the storage: file system, mount, space and quota. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orion_hpc.doctor.findings import Findings
from orion_hpc.doctor.host_facts import HostFacts
from orion_hpc.doctor.lock_facts import reaches_others
from orion_hpc.doctor.mount_facts import is_nfs, locks_stay_here, mount_verdicts
from orion_hpc.doctor.verdict import FAILED, OK, UNKNOWN, WARNING, Verdict, listed
from orion_hpc.sharedfs.mounts import FLOCK, FLOCK_DATABASE, LEASE, Mount, is_coherent
from orion_hpc.text import byte_size

_LITTLE, _TOO_LITTLE = 1 << 30, 64 << 20
"""Free bytes below which the verdict is a warning, and a failure."""

_FEW_FILES, _TOO_FEW_FILES = 10_000, 200
"""The same for files that can still be created."""


def storage_verdicts(found: Findings) -> Iterator[Verdict]:
    here = found.here
    if here is None:
        advice = found.hint or "Name another place with --storage."
        yield Verdict("storage", FAILED, found.trouble, advice)
        return
    yield _file_system(found, here)
    yield from mount_verdicts(found.hosts)
    if found.database_trouble:
        yield Verdict(
            "database", FAILED, found.database_trouble,
            found.database_hint or f"'orion-hpc db check {found.storage}' has more.",
        )  # fmt: skip
    elif found.database_lock in (FLOCK, FLOCK_DATABASE) and here.lock == LEASE:
        yield Verdict(
            "database", WARNING,
            f"it was made with the lock {found.database_lock}, which {_kind(here)} as mounted here "
            "doesn't share",
            "What was found of the lock below counts. A new database would use a lease.",
        )  # fmt: skip
    refused = [host for host in found.hosts if host.trouble]
    if refused:
        text = "; ".join(dict.fromkeys(f"{host.node}: {host.trouble}" for host in refused))
        hints = list(dict.fromkeys(host.hint for host in refused if host.hint))
        yield Verdict(
            "writing", FAILED, text,
            " ".join(hints)
            or "Check quota, permissions and mount options there, or choose another --storage.",
        )  # fmt: skip
    else:
        yield Verdict("writing", OK, f"written to from {host_names(found.hosts)}")
    yield _room(here)
    yield _quota(found)


def _file_system(found: Findings, here: HostFacts) -> Verdict:
    text = f"{_kind(here)}, lock {found.lock or here.lock}"
    others = sorted({host.file_system for host in found.nodes} - {here.file_system})
    if others:
        return Verdict(
            "file system", WARNING, f"{text}; on nodes it is {', '.join(map(_named, others))}",
            "Is it the same place on all hosts? What was found from the nodes counts.",
        )  # fmt: skip
    if here.lock != LEASE:
        if is_a_disk(here.file_system) and not found.local and not found.nodes:
            return Verdict(
                "file system", WARNING, f"{text}; {_kind(here)} is a disk of this host as a rule",
                "Put the database where all nodes see it.",
            )  # fmt: skip
        return Verdict("file system", OK, text)
    if is_nfs(here.mount) and locks_stay_here(here.mount):
        return Verdict("file system", OK, text)  # the verdict on the mount says the rest
    if found.lock != LEASE and reaches_others(found.tried, found.lock):
        return Verdict("file system", OK, text)  # whatever the mount table says
    if here.file_system in ("lustre", "beegfs"):
        return Verdict(
            "file system", WARNING, f"{text}: flock stays on the host as it is mounted",
            "A lease works, with some more delay; mounted with locks between hosts it would be "
            "faster: ask who runs it.",
        )  # fmt: skip
    return Verdict(
        "file system", WARNING,
        f"{text}: the mount table doesn't say whether it shares flock between hosts",
        "A lease works wherever a file can be created exclusively; it costs some delay. What was "
        "tried of the lock kinds, below, has more.",
    )  # fmt: skip


def _room(here: HostFacts) -> Verdict:
    if here.free is None:
        return Verdict("space", UNKNOWN, "the file system doesn't say how much is free")
    text = f"{byte_size(here.free)} free"
    if here.free_files is not None:
        text += f", room for {here.free_files:,} files"
    return _enough("space", text, here.free, here.free_files, "Free some space there.")


def _quota(found: Findings) -> Verdict:
    quota = found.quota
    if quota is None:
        return Verdict(
            "quota", UNKNOWN, found.quota_trouble or "nothing here reports it",
            "If your site has quotas, see that there is room for logs and results.",
        )  # fmt: skip
    if quota.free is None and quota.free_files is None:
        return Verdict("quota", OK, "none is set")
    left = [] if quota.free is None else [f"{byte_size(quota.free)}"]
    left += [] if quota.free_files is None else [f"{quota.free_files:,} files"]
    text = f"{' and '.join(left)} left"
    return _enough("quota", text, quota.free, quota.free_files, "Remove what you don't need.")


def _enough(check: str, text: str, free: int | None, files: int | None, advice: str) -> Verdict:
    def below(bytes_: int, count: int) -> bool:
        return (free is not None and free < bytes_) or (files is not None and files < count)

    if below(_TOO_LITTLE, _TOO_FEW_FILES):
        return Verdict(check, FAILED, text, advice)
    if below(_LITTLE, _FEW_FILES):
        return Verdict(check, WARNING, text, advice)
    return Verdict(check, OK, text)


def is_a_disk(file_system: str) -> bool:
    return is_coherent(Mount(file_system))


def _kind(host: HostFacts) -> str:
    if host.file_system == "fuse" and host.source:  # which program it is, stands there alone
        return f"fuse ({host.source})"
    return _named(host.file_system)


def _named(file_system: str) -> str:
    return file_system or "a file system of no known type"


def host_names(hosts: Sequence[HostFacts]) -> str:
    return listed(list(dict.fromkeys(host.node for host in hosts)))
