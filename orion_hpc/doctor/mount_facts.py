"""What the options of an NFS mount mean for a database on it. Pure.

Sources: nfs(5) on each option; ``soft`` waits for the client's major timeout, ``timeo`` times
``retrans`` plus one. The behaviour of caches and locks was measured on Linux 6.1 and 6.12 with a
Linux server; a lease of 90 s is its default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orion_hpc.doctor.host_facts import HostFacts
from orion_hpc.doctor.verdict import OK, WARNING, Verdict, listed
from orion_hpc.sharedfs.mounts import Mount

_CHECK = "mount"
_KINDS = ("nfs", "nfs4")
_CACHE_OPTIONS = ("acregmax", "actimeo")
_SHOWN = ("nconnect", *_CACHE_OPTIONS, "lookupcache", "local_lock", "noac", "nolock", "nocto", "ro")


def is_nfs(mount: Mount) -> bool:
    """Return whether it is an NFS mount, of any version."""
    return mount.kind in _KINDS


def nfs_version(mount: Mount) -> str:
    """Return ``3``, ``4.0``, ``4.1`` or ``4.2``; ``4`` or ``''`` where the table has no more."""
    version = mount.options.get("vers") or mount.options.get("nfsvers") or ""
    if mount.kind == "nfs4" or version.startswith("4"):
        minor = mount.options.get("minorversion")
        version = version or "4"
        return f"4.{minor}" if version == "4" and minor else version
    return version


def locks_stay_here(mount: Mount) -> str:
    """Return the option that keeps flock from the server, ``''`` if there is none."""
    if not is_nfs(mount) or nfs_version(mount).startswith("4"):  # which know no such option
        return ""
    if "nolock" in mount.options:
        return "nolock"
    kept = mount.options.get("local_lock", "")
    return f"local_lock={kept}" if kept in ("all", "flock") else ""


def mount_verdicts(hosts: Sequence[HostFacts]) -> Iterator[Verdict]:
    """Yield the verdicts on the NFS mounts of ``hosts``, once for mounts that are alike."""
    nodes_of: dict[tuple[Verdict, ...], list[str]] = {}
    for host in hosts:
        nodes_of.setdefault(tuple(facts(host.mount)), []).append(host.node)
    for verdicts, nodes in nodes_of.items():
        where = f" on {listed(list(dict.fromkeys(nodes)))}" if len(nodes_of) > 1 else ""
        for number, one in enumerate(verdicts):
            found = one.found + where if number == 0 else one.found
            yield Verdict(one.check, one.verdict, found, one.advice)


def facts(mount: Mount) -> Iterator[Verdict]:
    """Yield the mount in short, and a verdict for each option that matters to a database."""
    if not is_nfs(mount):
        return
    yield Verdict(_CHECK, OK, _in_short(mount))
    tellers: tuple[Callable[[Mount], Verdict | None], ...] = (
        _read_only, _locks, _soft, _close_to_open, _caches, _lookups, _connections, _transport,
    )  # fmt: skip
    for teller in tellers:
        if (verdict := teller(mount)) is not None:
            yield verdict


def _in_short(mount: Mount) -> str:
    options = mount.options
    version = nfs_version(mount)
    parts = [f"NFS {version}" if version else "NFS of an unknown version"]
    if proto := options.get("proto"):
        parts[0] += f" over {proto}"
    parts.append(_hardness(mount) or "hard")
    if (timeo := _number(mount, "timeo")) is not None:
        parts.append(f"first timeout {timeo / 10:g} s (timeo)")
    shown = {name: options[name] for name in _SHOWN if name in options}
    if shown.get("local_lock") == "none":  # the default, which the table shows, too
        del shown["local_lock"]
    parts += [f"{name}={value}" if value else name for name, value in shown.items()]
    return ", ".join(parts)


def _hardness(mount: Mount) -> str:
    return next((name for name in ("softerr", "soft") if name in mount.options), "")


def _read_only(mount: Mount) -> Verdict | None:
    if "ro" not in mount.options:
        return None
    return Verdict(
        _CHECK, WARNING, "ro: nothing can be written through this mount",
        "Ask who runs the host, or use others.",
    )  # fmt: skip


def _locks(mount: Mount) -> Verdict | None:
    if option := locks_stay_here(mount):
        return Verdict(
            _CHECK, WARNING, f"{option}: kernel locks don't reach other hosts; a lease is used "
            "instead, which is slower and doesn't keep a host from writing late",
            "Mounted without it, locks would be the server's: ask who runs it.",
        )  # fmt: skip
    version = nfs_version(mount)
    if version == "3":
        return Verdict(
            _CHECK, OK, "NFS 3: a lock that a host dies with stays, and all wait for it, until "
            "that host is up again or the server's administrator has cleared it",
        )  # fmt: skip
    if version.startswith("4"):
        return Verdict(
            _CHECK, OK, f"NFS {version}: the lock of a host that dies or is cut off goes 90 s (the "
            "server's lease, as a rule) after its last word",
        )  # fmt: skip
    return None


def _soft(mount: Mount) -> Verdict | None:
    how = _hardness(mount)
    if not how:
        return None
    timeo, retrans = _number(mount, "timeo"), _number(mount, "retrans")
    after = ""
    if timeo is not None and retrans is not None and mount.options.get("proto") != "udp":
        after = f" for about {timeo * (retrans + 1) / 10:g} s (timeo, retrans)"
    return Verdict(
        _CHECK, WARNING, f"{how}: when the server doesn't answer{after}, reads and writes fail "
        "instead of waiting; workers try again, other programs may lose what they wrote",
        "Mounted 'hard' they would wait: ask who runs it.",
    )  # fmt: skip


def _close_to_open(mount: Mount) -> Verdict | None:
    if "nocto" not in mount.options:
        return None
    return Verdict(
        _CHECK, WARNING, "nocto: opening a file doesn't ask the server what is new in it, so that "
        "hosts may see each other's files as they were",
        "Ask who runs it to mount it without nocto, or use another file system.",
    )  # fmt: skip


def _caches(mount: Mount) -> Verdict | None:
    if "noac" in mount.options:
        return Verdict(
            _CHECK, OK, "noac: every look at a file asks the server, which costs other programs "
            "time; the database doesn't need it",
        )  # fmt: skip
    seconds = next((n for name in _CACHE_OPTIONS if (n := _number(mount, name)) is not None), None)
    if seconds is None:
        return None
    return Verdict(
        _CHECK, OK, f"what is known of a file is kept for up to {seconds} s: only other tools see "
        "changes so late; the database is read past the cache",
    )  # fmt: skip


def _lookups(mount: Mount) -> Verdict | None:
    if mount.options.get("lookupcache") != "none":
        return None
    return Verdict(
        _CHECK, OK, "lookupcache=none: every use of a name asks the server: slower, nothing else"
    )


def _connections(mount: Mount) -> Verdict | None:
    count = _number(mount, "nconnect")
    if count is None or count < 2:
        return None
    return Verdict(
        _CHECK, OK, f"nconnect={count}: requests may overtake each other on {count} connections; "
        "an append waits for the answer to the one before",
    )  # fmt: skip


def _transport(mount: Mount) -> Verdict | None:
    if mount.options.get("proto") != "udp":
        return None
    return Verdict(
        _CHECK, WARNING, "udp: on fast networks packets may be put together wrongly, and data be "
        "damaged unseen (nfs(5))",
        "Have it mounted with proto=tcp.",
    )  # fmt: skip


def _number(mount: Mount, name: str) -> int | None:
    value = mount.options.get(name, "")
    return int(value) if value.isdecimal() else None
