"""Every system call of the database fails in turn, or is the last one before a SIGKILL.

Each fails with two of the errors, by its place; with ORION_HPC_ALL_FAULTS=1 with every one.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from orion_hpc.errors import OrionHpcError, StorageUnusable
from orion_hpc.journal import framing
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE
from orion_hpc.model.trial_record import COMPLETED, RESERVED
from orion_hpc.sharedfs import lock, mounts
from orion_hpc.sharedfs.mounts import APPENDING, CACHED, DIRECT, FLOCK, LEASE
from tests import options
from tests.rigs.faults import ERRNOS, Call, Ending, Fault, Victim
from tests.rigs.small_process import in_small_process

COMPLETE = 4
"""The code of a completion in the journal; the format promises that it never changes."""

MOST_TOLD = 3
"""Troubles at one call, after which its other faults aren't tried any more."""

RESULTS = [{"name": "loss", "type": "objective", "value": 0.125}]
DONE = ev.CompleteTrial(0, 1, RESULTS, 5.0)
NEXT = ev.ReserveTrial(1, 1, "me", 5.0)
OTHERS = ev.ReserveTrial(2, 1, "other", 6.0)
NONE = Fault("", "")
PATIENCE = 5.0
"""Seconds to wait for a lock: more than the lease here, and than filelock's age of a half-written
marker."""
TORN = framing.encode_frame(1, b"never whole")[:-3]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: what is tested is order, not the disk."""
    with tempfile.TemporaryDirectory(
        prefix="faults-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    ) as name:
        yield Path(name)


@pytest.fixture(params=[CACHED, DIRECT, APPENDING])
def access(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the file system is used: as a local one, as NFS, or as another one of several hosts."""
    way: str = request.param
    use(way, monkeypatch.setattr)
    return way


def use(way: str, put: Callable[[object, str, object], None]) -> None:
    """Have the database use the file system in this way."""
    put(mounts, "is_coherent", lambda mount: way == CACHED)
    put(mounts, "access", lambda mount: way)
    put(mounts, "fences", lambda mount: way == DIRECT)
    put(os, "O_DIRECT", 0)  # not every local disk takes what isn't whole blocks
    put(mounts, "mount_of", lambda path: mounts.Mount("tmpfs"))
    # Half a minute for a marker whose removal failed is too long for some hundred tries.
    put(lock, "LEASE_DURATION", 2.0)


def journal(path: Path, kind: str) -> bytes:
    """Make a database with three trials, of which this worker holds the first; return it."""
    storage = PickledDB.create(str(path), lock=kind)
    settings = {"max_trials": None, "max_broken": 2}
    storage.transact(CATALOGUE, lambda state: [ev.CreateExperiment("e", 1, settings, 0.0)])
    for number in range(3):
        new = ev.RegisterTrial(number, {"x": float(number)}, 1.0)
        storage.transact(1, lambda state, new=new: [new])
    storage.transact(1, lambda state: [ev.ReserveTrial(0, 1, "me", 2.0)])
    storage.close()
    content = path.read_bytes()
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    return content


def completions(path: Path) -> int:
    """Return how often the completion of trial 0 stands in the journal, won or not."""
    content = path.read_bytes()
    decoded = framing.decode_header(content)
    assert decoded is not None
    wires = [
        wire
        for frame in framing.frames(content[decoded[1] :], decoded[1])
        if frame.experiment == 1
        for wire in pickle.loads(frame.payload)[2]
    ]
    return sum(wire[:2] == (COMPLETE, 0) for wire in wires)


def record(storage: PickledDB) -> None:
    """Do what a worker does after each trial: record its results and reserve the next."""
    storage.transact(1, lambda state: [DONE, NEXT])
    one, other = storage.state.experiments[1].trials[:2]
    assert (one.status, one.results, other.worker) == (COMPLETED, RESULTS, "me"), "it didn't win"


def warm(path: Path) -> PickledDB:
    """Return a storage that has read and written, as that of a worker at work."""
    storage = PickledDB(str(path), lock_timeout=PATIENCE)
    storage.transact(1, lambda state: [ev.LaunchJobs("local", ("1",), "jobs", 3.0)])
    return storage


def cold(path: Path) -> PickledDB:
    """Return a storage that holds no descriptor."""
    storage = PickledDB(str(path), lock_timeout=PATIENCE)
    storage.close()
    return storage


def torn(path: Path) -> PickledDB:
    """Return a storage that finds behind the last frame what a killed writer left."""
    storage = warm(path)
    with path.open("ab") as file:
        file.write(TORN)
    return storage


def told_well(ending: Ending, path: Path) -> str:
    """Return what is wrong with the way in which an operation ended, ``''`` if nothing is."""
    if ending.how == "refused":
        first, _, hint = ending.told.partition("\n")
        if str(path.parent) not in first or "Traceback" in ending.told or not hint:
            return f"the error doesn't name the file, the cause and what to do: {ending.told!r}"
    elif ending.how != "done":
        return f"{ending.how}: {ending.told}"
    return ""


Run: TypeAlias = Callable[[int | None, Fault], tuple[Ending, str]]

AT_ONCE = 6
"""Processes that try faults, each in a folder of its own: they mostly wait for locks."""


def each_fault(
    folder: Path, way: str, make: Callable[[Path], Run], errors: Sequence[str] = ERRNOS
) -> None:
    """Run the operation once for every fault of every call; fail with all that went wrong.

    ``make`` returns, for a folder, what runs the operation there.
    """
    print(in_small_process(_each_fault, folder, way, make, errors))


def _each_fault(folder: Path, way: str, make: Callable[[Path], Run], errors: Sequence[str]) -> None:
    use(way, setattr)
    clean, trouble = make(below(folder, "clean"))(None, NONE)
    assert not trouble, f"without any fault: {trouble}"
    assert clean.how == "done"
    assert clean.calls, "no system call was counted"
    calls = list(enumerate(clean.calls))
    told: dict[str, list[str]] = {}
    cases = 0
    shares = [
        started(folder, make, calls[first::AT_ONCE], errors, str(first))
        for first in range(min(AT_ONCE, len(calls)))
    ]
    for pid, answers in shares:
        with open(answers, "rb") as file:
            answer = file.read()
        os.waitpid(pid, 0)
        assert answer, "a process that tried faults has died; see its traceback above"
        count, found = json.loads(answer)
        cases += count
        told |= found
    print(f"{len(calls)} system calls, {cases} faults")
    listed = "\n".join(
        f"{where}:\n    " + "\n    ".join(troubles) for where, troubles in told.items()
    )
    bad = sum(map(len, told.values()))
    assert not bad, f"{bad} of {cases} faults weren't borne:\n{listed}"


def below(folder: Path, name: str) -> Path:
    """Make a folder of that name."""
    (folder / name).mkdir()
    return folder / name


def started(
    folder: Path,
    make: Callable[[Path], Run],
    calls: Sequence[tuple[int, Call]],
    errors: Sequence[str],
    name: str,
) -> tuple[int, int]:
    """Start a process that tries the faults of ``calls``; return its pid and where it answers."""
    answers, ours = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ours)
        return pid, answers
    try:
        os.close(answers)
        answer = json.dumps(tried(make(below(folder, name)), calls, errors)).encode()
        with open(ours, "wb") as file:
            file.write(answer)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def in_turn(errors: Sequence[str], index: int) -> Sequence[str]:
    """Return two of the errors for a call, so that neighbours have others, and all come up."""
    return [*errors, *errors][2 * index % len(errors) :][:2] if len(errors) > 2 else errors


def tried(
    run: Run, calls: Sequence[tuple[int, Call]], errors: Sequence[str]
) -> tuple[int, dict[str, list[str]]]:
    """Try all faults of these calls; return how many they were, and what went wrong, by call."""
    told: dict[str, list[str]] = {}
    cases = 0
    for index, call in calls:
        where = f"call {index}, {call.name} of {call.target!r}"
        for fault in call.faults(errors if options.ALL_FAULTS else in_turn(errors, index)):
            cases += 1
            if trouble := run(index, fault)[1]:
                told.setdefault(where, []).append(f"{fault.what} {fault.when}: {trouble}")
            # More of the same say no more, and each may cost the patience of the next process.
            if len(told.get(where, ())) == MOST_TOLD:
                break
    return cases, told


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("access", "kind", "prepare"),
    [
        *[(way, FLOCK, prepare) for way in (CACHED, DIRECT) for prepare in (warm, cold, torn)],
        *[(APPENDING, FLOCK, warm), (CACHED, LEASE, warm), (DIRECT, LEASE, warm)],
    ],
    indirect=["access"],
)
def test_an_append_bears_a_fault_at_any_call(folder, access, kind, prepare):
    """What was acknowledged is there once and won; what was refused can be tried again; the next
    process appends at once; nothing is left behind, and no descriptor leaks."""

    def make(folder: Path) -> Run:
        path = folder / "db.pkl"
        content = journal(path, kind)

        def run(index: int | None, fault: Fault) -> tuple[Ending, str]:
            path.write_bytes(content)
            start = partial(prepare, path)
            with Victim(str(folder), start, record, index, fault, PickledDB.close) as victim:
                first = victim.first()
                try:
                    troubles = list(_troubles_of_append(path, victim, first, fault, content))
                except (OrionHpcError, AssertionError) as error:
                    troubles = [f"({first.how}) the next process: {type(error).__name__}: {error}"]
                if fault.what != "kill" and (bad := told_well(first, path)):
                    troubles.append(bad)
            shutil.rmtree(folder)
            folder.mkdir()
            return first, "; and ".join(troubles)

        return run

    # A marker that its living holder couldn't remove has to expire, which takes its time.
    each_fault(
        folder,
        access,
        make,
        ERRNOS if kind == FLOCK else ("EIO", "EACCES") if access == CACHED else ("ESTALE",),
    )


def _troubles_of_append(
    path: Path, victim: Victim, first: Ending, fault: Fault, content: bytes
) -> Iterator[str]:
    """Yield what is wrong after :func:`record` ended as ``first`` tells."""
    killed = fault.what == "kill"
    there = completions(path)
    if there > 1 or (first.how == "done" and there != 1):
        yield f"{first.how}, and the completion stands {there} times in the journal"
    # The victim is still there, if it wasn't killed: it must not be in the way.
    successor = PickledDB(str(path), lock_timeout=PATIENCE)
    status = successor.refresh().experiments[1].trials[0].status
    if (status == COMPLETED) != bool(there):
        yield f"the completion stands {there} times in the journal, and counts as {status}"
    successor.transact(1, lambda state: [OTHERS])
    if killed:
        record(successor)
    else:
        again = victim.again()
        if again.how != "done":
            yield f"the second time, without a fault: {again.how}: {again.told}"
        if again.leaked:
            yield f"{again.leaked} descriptors are left open"
    successor.close()
    trials = PickledDB(str(path)).refresh().experiments[1].trials
    seen = [(one.status, one.attempt, one.worker) for one in trials]
    if seen != [(COMPLETED, 1, "me"), (RESERVED, 1, "me"), (RESERVED, 1, "other")]:
        yield f"in the end the trials are {seen}"
    if not path.read_bytes().startswith(content):
        yield "what stood in the file was written over"
    left = set(os.listdir(path.parent)) - {"db.pkl", "db.pkl.lock", "db.pkl.files"}
    if left and not killed:
        yield f"left behind: {left}"


@pytest.mark.timeout(600)
def test_a_refresh_bears_a_fault_at_any_call(folder, access):
    """Reading fails with a sentence, and the next time reads what there is."""

    def make(folder: Path) -> Run:
        path = folder / "db.pkl"
        content = journal(path, FLOCK)

        def prepare() -> PickledDB:
            storage = PickledDB(str(path))
            storage.refresh()
            record(PickledDB(str(path)))
            return storage

        def act(storage: PickledDB) -> None:
            trials = storage.refresh().experiments[1].trials
            assert trials[0].status == COMPLETED, "what others wrote isn't seen"
            assert storage.position() > len(content)

        def run(index: int | None, fault: Fault) -> tuple[Ending, str]:
            path.write_bytes(content)
            return _reading(path, prepare, act, PickledDB.close, index, fault)

        return run

    each_fault(folder, access, make)


@pytest.mark.timeout(600)
def test_opening_bears_a_fault_at_any_call(folder, access):
    """A file that can't be read isn't mistaken for another kind of file or an empty one."""

    def make(folder: Path) -> Run:
        path = folder / "db.pkl"
        content = journal(path, FLOCK)

        def act(opened: list[PickledDB]) -> None:
            opened.append(PickledDB(str(path)))
            assert len(opened[-1].refresh().experiments[1].trials) == 3, "it isn't read to the end"

        def run(index: int | None, fault: Fault) -> tuple[Ending, str]:
            path.write_bytes(content)
            return _reading(path, list, act, _close_all, index, fault)

        return run

    each_fault(folder, access, make)


def _close_all(opened: list[PickledDB]) -> None:
    for storage in opened:
        storage.close()


def _reading(
    path: Path,
    prepare: Callable[[], Any],
    act: Callable[[Any], Any],
    close: Callable[[Any], Any],
    index: int | None,
    fault: Fault,
) -> tuple[Ending, str]:
    """Let something be read under a fault, and once more; return how it ended, and what is bad."""
    with Victim(str(path.parent), prepare, act, index, fault, close) as victim:
        first = victim.first()
        if fault.what == "kill":
            ended = first.how in ("killed", "done")
            return first, "" if ended else f"it went on after SIGKILL: {first}"
        # Half of a read is no error, and what stands in it is true: the next one reads on.
        trouble = told_well(first, path) if fault.what != "short" else ""
        # A moment's trouble must not make anybody put a backup in a good file's place.
        if not trouble and first.how == "refused" and "damaged" in first.told:
            trouble = f"a passing fault is taken for damage: {first.told}"
        if not trouble:
            again = victim.again()
            trouble = told_well(again, path)
            if not trouble and again.how != "done":
                trouble = f"the second time, without a fault: {again.told}"
            if not trouble and again.leaked:
                trouble = f"{again.leaked} descriptors are left open"
        return first, trouble


@pytest.mark.timeout(600)
def test_creation_bears_a_fault_at_any_call(folder, access):
    """The file appears whole or not at all, whoever creates next gets the same one, and nothing
    lies beside it."""

    def make(folder: Path) -> Run:
        path = folder / "db.pkl"

        def act(opened: list[PickledDB]) -> None:
            opened.append(PickledDB.create(str(path)))
            opened[-1].refresh()
            assert opened[-1].id == opened[0].id, "it is another database than the first time"

        def run(index: int | None, fault: Fault) -> tuple[Ending, str]:
            with Victim(str(folder), list, act, index, fault, _close_all) as victim:
                first = victim.first()
                trouble = check(victim, first, fault)
            for name in os.listdir(folder):
                os.unlink(folder / name)
            return first, trouble

        def check(victim: Victim, first: Ending, fault: Fault) -> str:
            killed = fault.what == "kill"
            if not killed and (trouble := told_well(first, path)):
                return trouble
            cleaned = first.calls and first.calls[-1].name != "unlink" and fault.when != "onwards"
            left = {name for name in os.listdir(folder) if name.endswith(".new")}
            if left and not killed and cleaned:
                return f"left behind: {left}"
            try:
                other = PickledDB.create(str(path))
                settings = {"max_trials": None, "max_broken": 2}
                new = ev.CreateExperiment("e", 1, settings, 0.0)
                other.transact(CATALOGUE, lambda state: [new])
                other.close()
            except OrionHpcError as error:
                return f"the next process: {error}"
            if killed:
                return ""
            again = victim.again()
            if again.how != "done":
                return f"the second time, without a fault: {again.how}: {again.told}"
            return f"{again.leaked} descriptors are left open" if again.leaked else ""

        return run

    each_fault(folder, access, make)


def fill(storage: PickledDB) -> None:
    """Append to all three experiments of a journal in turn."""
    for name in "abc":
        settings = {"max_trials": None, "max_broken": 2}
        new = ev.CreateExperiment(name, 1, settings, 0.0)
        storage.transact(CATALOGUE, lambda state, new=new: [new])
    for number in range(2):
        for experiment in (3, 1, 2):
            trial = ev.RegisterTrial(number, {"x": float(number)}, 1.0)
            storage.transact(experiment, lambda state, trial=trial: [trial])


@pytest.mark.timeout(600)
def test_a_journal_cut_at_any_byte_opens_and_takes_the_next_append(folder, access):
    """Several experiments and a seal in it: whatever was whole before the cut is read, and what is
    appended behind the cut is too. Within the header the file is refused and left alone."""
    path = folder / "db.pkl"
    storage = PickledDB.create(str(path))
    fill(storage)
    header = framing.decode_header(path.read_bytes())[1]
    with path.open("ab") as file:
        file.write(TORN)
    for number in (2, 3):
        new = ev.RegisterTrial(number, {"x": float(number)}, 1.0)
        storage.transact(2, lambda state, new=new: [new])
    storage.close()
    content = path.read_bytes()
    whole = list(framing.frames(content[header:], header))
    assert framing.SEAL in {frame.experiment for frame in whole}, "the torn bytes weren't sealed"
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        if cut < header:
            with pytest.raises(StorageUnusable, match=r"isn't a whole database|is empty"):
                PickledDB(str(path))
            assert path.read_bytes() == content[:cut], "it was written to"
            continue
        expected = [0, 0, 0, 0]
        for frame in whole:
            if frame.end <= cut and frame.experiment != framing.SEAL:
                expected[frame.experiment] += 1
        storage = PickledDB(str(path))
        assert _counts(storage) == expected, f"cut at {cut}"
        number = expected[CATALOGUE]
        later = ev.CreateExperiment("later", 1, {"max_trials": None, "max_broken": 2}, 9.0)
        storage.transact(CATALOGUE, lambda state, later=later: [later])
        new = ev.RegisterTrial(0, {"x": 0.5}, 9.0)
        storage.transact(number + 1, lambda state, new=new: [new])
        expected[CATALOGUE] += 1
        storage.close()
        reader = PickledDB(str(path))
        state = reader.refresh()
        assert len(state.experiments) == number + 1, f"cut at {cut}: the next append isn't read"
        assert len(state.experiments[number + 1].trials) == 1, f"cut at {cut}"
        assert path.read_bytes()[:cut] == content[:cut], f"cut at {cut}: written over"
        reader.close()


def _counts(storage: PickledDB) -> list[int]:
    """Return how many experiments there are, and how many trials each of the first three has."""
    experiments = storage.refresh().experiments
    trials = [len(experiments[n].trials) if n in experiments else 0 for n in (1, 2, 3)]
    return [len(experiments), *trials]


COUNTED = """
import json, os, sys
from pathlib import Path
from tests.rigs.faults import Injector
from tests.journal.test_fault_injection import record, warm
storage = warm(Path(sys.argv[1]))
injector = Injector(os.path.dirname(sys.argv[1]))
injector.install()
os.access("/begin", os.F_OK)
injector.arm(None)
record(storage)
injector.disarm()
os.access("/end", os.F_OK)
print(json.dumps(injector.calls))
"""

FAILING = """
import sys
from orion_hpc.errors import StorageError
from orion_hpc.journal.pickleddb import PickledDB
from tests.journal.test_fault_injection import record
try:
    record(PickledDB(sys.argv[1]))
    print("it went well")
except StorageError as error:
    print("refused:", error.message)
"""

FAMILIES = {
    "open": {"open", "openat", "openat2"},
    "stat": {"stat", "lstat", "fstat", "newfstatat", "statx"},
    "read": {"read", "pread64", "readv", "preadv"},
    "write": {"write", "pwrite64", "writev", "pwritev", "pwritev2"},
    "lseek": {"lseek"},
    "close": {"close"},
    "sync": {"fsync", "fdatasync"},
    "lock": {"flock", "fcntl"},
    "unlink": {"unlink", "unlinkat"},
    "rename": {"rename", "renameat", "renameat2"},
    "link": {"link", "linkat"},
    "utime": {"utimensat"},
    "chmod": {"chmod", "fchmod", "fchmodat"},
    "readlink": {"readlink", "readlinkat"},
}
"""How the kernel's calls are told apart here: Python and the C library choose freely within one."""

PARTS = {"listdir": ["open", "stat", "getdents64", "getdents64", "close"]}
"""What the C library makes of one call."""

_SAME = {"pread": "pread64", "pwrite": "pwrite64", "utime": "utimensat", "lockf": "fcntl"}


def family(name: str) -> str:
    """Return the family of a system call, by Python's or the kernel's name."""
    name = _SAME.get(name, name)
    return next((family for family, names in FAMILIES.items() if name in names), name)


@pytest.fixture
def strace(folder: Path) -> Callable[..., tuple[str, str]]:
    """Return what runs a program on a new database and returns its output and the trace."""
    program = shutil.which("strace")
    if (
        program is None
        or subprocess.run([program, "-o", "/dev/null", "true"], check=False).returncode
    ):
        pytest.skip("strace isn't installed, or may trace no process here")

    def run(kind: str, code: str, *options: str) -> tuple[str, str]:
        path, trace = folder / "database" / "db.pkl", folder / "trace"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(journal(path, kind))
        done = subprocess.run(
            [
                *(program, "-f", "-y", "-o", trace, *options),
                *(sys.executable, "-c", code, path),
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
        shutil.rmtree(path.parent)
        return done.stdout, trace.read_text(errors="replace")

    return run


@pytest.mark.parametrize("kind", [FLOCK, LEASE])
def test_the_harness_misses_no_system_call(strace, folder, kind):
    """What the kernel sees of an append is what is counted, and so what is made to fail, here."""
    output, trace = strace(kind, COUNTED)
    counted = Counter(
        part
        for name, _ in json.loads(output.splitlines()[-1])
        for part in PARTS.get(name, [family(name)])
    )
    within = trace.partition('"/begin"')[2].partition('"/end"')[0]
    # The lease's thread refreshes its marker by the clock; only this thread's calls are compared.
    first = trace.split(maxsplit=1)[0]
    seen = Counter(
        family(match[2])
        for match in re.finditer(r"^(\d+) +(\w+)\((.*)$", within, re.MULTILINE)
        if match[1] == first
        and str(folder / "database") in match[3]
        and "/proc/self/fd" not in match[3]  # the harness itself asks there what a number means
    )
    assert counted == seen, f"counted by the harness, and seen by strace:\n{counted}\n{seen}"


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        ("write", "ENOSPC", "No space left on device"),
        ("fdatasync", "EIO", "Input/output error"),
        ("flock", "ESTALE", "Stale file handle"),
        ("pread64", "EIO", "Input/output error"),
        ("lseek", "EIO", "Input/output error"),
    ],
)
def test_a_fault_made_by_the_kernel_is_told_like_the_harness_own(strace, folder, call, error, told):
    """The same sentence comes of an error that the kernel itself returns."""
    where = folder / "database" / ("db.pkl.lock" if call == "flock" else "db.pkl")
    output, trace = strace(
        FLOCK, FAILING, "-P", str(where), "-e", f"inject={call}:error={error}:when=1+"
    )
    assert "(INJECTED)" in trace, f"{call} was never called:\n{trace}"
    assert output.startswith("refused: "), output
    assert told in output, output
