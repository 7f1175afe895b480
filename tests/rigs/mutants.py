"""Database files that nobody should have written, each made from a seed and a number.

`Mutants.make` returns the same file for the same seed and number, so that one that breaks the
reader can be made again. What to do with a file is left to `tests.rigs.fuzz`.
"""

from __future__ import annotations

import pickle
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from orion_hpc.journal import framing
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE
from tests.rigs import nasty

_PLACE = "here it goes"

Frames = list[tuple[int, bytes]]
Path_ = tuple[Any, ...]


class Base(NamedTuple):
    """A good file: its header and its frames (experiment, payload)."""

    header: bytes
    frames: Frames

    @property
    def content(self) -> bytes:
        """The whole file."""
        return self.header + _joined(self.frames)


def bases(folder: Path) -> list[Base]:
    """Write good files with all kinds of events in `folder`, and return them."""
    made = []
    for number, write in enumerate((_full, _two, _empty)):
        path = folder / f"base-{number}.pkl"
        storage = PickledDB.create(str(path))
        storage._writer.name = f"{number:016x}"  # a seed must make the same files
        write(storage)
        storage.close()
        content = path.read_bytes()
        decoded = framing.decode_header(content)
        assert decoded is not None
        end = decoded[1]
        header = framing.encode_header({**decoded[0], "id": f"{number:032x}", "lock": "flock"})
        frames = [(one.experiment, one.payload) for one in framing.frames(content[end:], end)]
        made.append(Base(header, frames))
    return made


def _settings(max_trials: int | None) -> dict[str, Any]:
    return {
        "space": {"x": "uniform(0, 1)", "k": "choices(['a', 'b'])"},
        "algorithm": {"random": {"seed": 1}},
        "max_trials": max_trials,
        "max_broken": 3,
        "max_attempts": 3,
        "function": "module:main",
        "path": "/somewhere",
        "kwargs": {},
        "trial_arg": None,
        "working_dir": None,
        "worker": {"n_workers": 1, "executor": "joblib", "heartbeat": 60.0, "idle_timeout": 60.0},
    }


def _full(storage: PickledDB) -> None:
    results = [
        {"name": "loss", "type": "objective", "value": 0.5},
        {"name": "sizes", "type": "statistic", "value": [1.0, [2.0, 3.0]]},
    ]
    create = ev.CreateExperiment("e", 1, _settings(20), 1.0)
    _write(storage, CATALOGUE, create)
    _write(storage, 1, ev.LaunchJobs("slurm", ("7", "8"), "/jobs", 1.5))
    for number in range(4):
        new = ev.RegisterTrial(number, {"x": number / 8, "k": "a"}, 2.0)
        _write(storage, 1, new, ev.ReserveTrial(number, 1, f"host:1{number}:abcdef.5", 2.5))
    _write(storage, 1, ev.CompleteTrial(0, 1, results, 3.0))
    _write(storage, 1, ev.ReleaseTrial(1, 1, "broken", "user error", "ValueError: no", 3.5))
    _write(storage, 1, ev.ReleaseTrial(2, 1, "interrupted", "lost worker", "gone", 3.5))
    _write(storage, 1, ev.ChangeLimits(30, 5, 4.0))
    _write(storage, 1, ev.StopExperiment("enough", 5.0), ev.ResumeExperiment(5.5))
    _write(storage, 1, ev.ExhaustSpace(4, 6.0))


def _two(storage: PickledDB) -> None:
    for name in ("first", "second"):
        _write(storage, CATALOGUE, ev.CreateExperiment(name, 1, _settings(None), 1.0))
    for number in range(2):
        for experiment in (1, 2):
            _write(storage, experiment, ev.RegisterTrial(number, {"x": [number, 0.5]}, 2.0))


def _empty(storage: PickledDB) -> None:
    """Leave the file with its header only."""


def _write(storage: PickledDB, experiment: int, *events: ev.Event) -> None:
    storage.transact(experiment, lambda state: list(events))


def _joined(frames: Frames) -> bytes:
    return b"".join(framing.encode_frame(*one) for one in frames)


class Mutants:
    """Makes files.

    Parameters
    ----------
    seed : int
    folder : Path
        Where the good files that they come from are made.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed = seed
        self._bases = bases(folder)
        self._fragments = list(nasty.fragments())
        self._places = [
            (base, frame, path)
            for base in range(len(self._bases))
            for frame in range(len(self._bases[base].frames))
            for path in _paths(pickle.loads(self._bases[base].frames[frame][1]))
        ]
        self._wholesale: list[Callable[[], tuple[str, bytes]]] = []
        for name, code in self._fragments:
            for form in range(4):
                self._wholesale.append(lambda name=name, code=code, form=form: self._hostile(
                    name, code, form))  # fmt: skip
        self._systematic = len(self._wholesale) + len(self._places) * len(nasty.VALUES)

    @property
    def systematic(self) -> int:
        """How many files are made by going through everything; those after them are drawn."""
        return self._systematic

    def make(self, number: int) -> tuple[str, bytes]:
        """Return what was done, in words, and the file."""
        rng = random.Random(f"{self._seed}:{number}")
        if number < len(self._wholesale):
            return self._wholesale[number]()
        if number < self._systematic:
            at, which = divmod(number - len(self._wholesale), len(nasty.VALUES))
            return self._replaced(*self._places[at], nasty.VALUES[which])
        kinds = (self._bytes, self._bytes, self._cut, self._frames, self._header, self._payload)
        return rng.choice((*kinds, self._payload, self._values, self._values, self._random_code))(
            rng
        )

    # -- pickles ---------------------------------------------------------------------------------

    def _hostile(self, name: str, code: bytes, form: int) -> tuple[str, bytes]:
        """Return a file with a hostile pickle, by itself or where a good one has a value."""
        base = self._bases[0]
        if form == 0:
            return f"{name}: a frame", _with(base, 1, b"\x80\x05" + code + b".")
        if form == 1:
            return f"{name}: in the catalogue", _with(base, CATALOGUE, code + b".")
        params = {"x": _PLACE} if form == 2 else _PLACE
        whole = nasty.plain_pickle(("w", 1, ((2, 4, params, 1.0),)))
        place = b"\x8c%c%b" % (len(_PLACE), _PLACE.encode())
        unframed = whole[:2] + whole[11:] if whole[2:3] == b"\x95" else whole
        assert place in unframed
        done = unframed.replace(place, code)
        return f"{name}: as {'a parameter' if form == 2 else 'the parameters'}", _with(
            base, 1, done
        )

    def _random_code(self, rng: random.Random) -> tuple[str, bytes]:
        """Return a file with a pickle of random instructions."""
        light = [one for one in self._fragments if len(one[1]) < 300]
        chosen = [rng.choice(light) for _ in range(rng.randint(1, 6))]
        code = b"".join(code for _, code in chosen) + b"." * rng.randint(0, 1)
        if rng.random() < 0.8:
            code = b"\x80\x05" + code
        base = rng.choice(self._bases)
        return " + ".join(name for name, _ in chosen), _with(base, rng.randint(0, 2), code)

    def _payload(self, rng: random.Random) -> tuple[str, bytes]:
        """Return a file of which one pickle has wrong bytes, and its frame the right checksum."""
        base, at = self._some_frame(rng)
        experiment, payload = base.frames[at]
        payload = _mangled(payload, rng)
        frames = [*base.frames[:at], (experiment, payload), *base.frames[at + 1 :]]
        return f"wrong bytes in the pickle of frame {at}", base.header + _joined(frames)

    # -- plain values ----------------------------------------------------------------------------

    def _replaced(self, base: int, frame: int, path: Path_, value: Any) -> tuple[str, bytes]:
        good = self._bases[base]
        experiment, payload = good.frames[frame]
        wrong = _put(pickle.loads(payload), path, value)
        frames = [
            *good.frames[:frame],
            (experiment, nasty.plain_pickle(wrong)),
            *good.frames[frame + 1 :],
        ]
        said = f"frame {frame}: {path} is {_shown(value)}"
        return said, good.header + _joined(frames)

    def _values(self, rng: random.Random) -> tuple[str, bytes]:
        """Return a file with nasty values at several places of several frames."""
        base = rng.randrange(2)
        frames = list(self._bases[base].frames)
        told = []
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(frames))
            experiment, payload = frames[at]
            wrong = pickle.loads(payload)
            path = rng.choice(list(_paths(wrong)))
            value = rng.choice(nasty.VALUES)
            if rng.random() < 0.3:
                other = rng.choice(nasty.VALUES)
                value = rng.choice(([value, other], (value, other), {"x": value, "y": other}))
            told.append(f"frame {at}: {path} is {_shown(value)}")
            wrong = _put(wrong, path, value)
            if rng.random() < 0.1:
                experiment = rng.choice((0, 1, 2, 3, 2**31, 2**32 - 2, framing.SEAL))
            frames[at] = (experiment, nasty.plain_pickle(wrong, memo=rng.random() < 0.5))
        return "; ".join(told), self._bases[base].header + _joined(frames)

    # -- bytes -----------------------------------------------------------------------------------

    def _bytes(self, rng: random.Random) -> tuple[str, bytes]:
        content = rng.choice(self._bases).content
        return "wrong bytes", _mangled(content, rng)

    def _cut(self, rng: random.Random) -> tuple[str, bytes]:
        content, other = rng.choice(self._bases).content, rng.choice(self._bases).content
        at, to = rng.randrange(len(content) + 1), rng.randrange(len(other) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            return f"cut at {at}", content[:at]
        if kind == 1:
            return f"cut at {at}, with zeros behind", content[:at] + bytes(rng.randint(1, 9000))
        if kind == 2:
            return f"cut at {at}, another from {to} on", content[:at] + other[to:]
        seal = framing.encode_seal(rng.choice((at, 0, to, 2**63, len(content))))
        return f"cut at {at}, with a seal behind", content[:at] + seal + other[to:]

    def _frames(self, rng: random.Random) -> tuple[str, bytes]:
        base = rng.choice(self._bases[:2])
        frames = list(base.frames)
        kind = rng.randrange(5)
        if kind == 0:
            rng.shuffle(frames)
            said = "frames in another order"
        elif kind == 1:
            frames += rng.choices(frames, k=rng.randint(1, 9))
            said = "frames twice"
        elif kind == 2:
            frames = rng.sample(frames, k=rng.randint(0, len(frames) - 1))
            said = "frames are missing"
        elif kind == 3:
            frames += rng.choice(self._bases).frames
            said = "frames of another file"
        else:
            frames = [(rng.choice((0, 1, 2, 5, 2**32 - 2)), payload) for _, payload in frames]
            said = "frames of other experiments"
        return said, base.header + _joined(frames)

    def _header(self, rng: random.Random) -> tuple[str, bytes]:
        base = rng.choice(self._bases)
        if rng.random() < 0.4:
            header = _mangled(base.header, rng)
            return "wrong bytes in the header", header + _joined(base.frames)
        content: Any = {"lock": "flock", "id": "0" * 32}
        content[rng.choice(("lock", "id", "new", ""))] = rng.choice(nasty.VALUES)
        if rng.random() < 0.3:
            del content[rng.choice(list(content))]
        if rng.random() < 0.1:
            content = rng.choice(nasty.VALUES)
        body = nasty.plain_pickle(content)
        if rng.random() < 0.3:
            body = b"\x80\x05" + rng.choice(self._fragments)[1] + b"."
        version = 1 if rng.random() < 0.9 else rng.choice((0, 2, 65535))
        length = len(body) if rng.random() < 0.9 else rng.randrange(65536)
        sums = zlib.crc32(body)
        header = struct.pack("<8sHHI", framing.MAGIC, version, length & 0xFFFF, sums) + body
        return f"the header says {_shown(content)}", header + _joined(base.frames)

    def _some_frame(self, rng: random.Random) -> tuple[Base, int]:
        base = rng.choice(self._bases[:2])
        return base, rng.randrange(len(base.frames))


def _with(base: Base, experiment: int, payload: bytes) -> bytes:
    """Return the file with one more frame, and a good one behind it."""
    good = (1, nasty.plain_pickle(("other", 0, ((8, 9.0),))))
    return base.content + _joined([(experiment, payload), good])


def _mangled(data: bytes, rng: random.Random) -> bytes:
    wrong = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(wrong) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(wrong):
            wrong[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(wrong):
            wrong[at] = rng.randrange(256)
        elif kind == 2:
            wrong[at:at] = rng.randbytes(rng.randint(1, 9))
        elif kind == 3:
            del wrong[at : at + rng.randint(1, 9)]
        elif kind == 4:
            wrong[at : at + rng.randint(1, 64)] = bytes(rng.randint(1, 64))
        else:
            wrong[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\xf5ofr"))
    return bytes(wrong)


def _paths(value: Any, above: Path_ = ()) -> Iterator[Path_]:
    """Yield where in a transaction there is a value: the way to it, by keys and indices."""
    yield above
    if len(above) < 6:
        if isinstance(value, tuple | list):
            for index, one in enumerate(value):
                yield from _paths(one, (*above, index))
            yield (*above, "shorter")
            yield (*above, "longer")
        elif isinstance(value, dict):
            for key, one in value.items():
                yield from _paths(one, (*above, ("at", key)))
                yield (*above, ("key", key))


def _put(value: Any, path: Path_, new: Any) -> Any:
    """Return the transaction with `new` at the end of the way."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(value, tuple | list):
        if step == "shorter":
            return value[:-1]
        if step == "longer":
            return type(value)([*value, new])
        return type(value)(
            _put(one, rest, new) if index == step else one for index, one in enumerate(value)
        )
    what, key = step
    if what == "key":
        try:
            return {(new if one == key else one): thing for one, thing in value.items()}
        except TypeError:  # no dict can have such a key
            return {_shown(new): value[key]}
    return {one: _put(thing, rest, new) if one == key else thing for one, thing in value.items()}


def _shown(value: Any) -> str:
    try:
        return f"{value!a:.60}"
    except (ValueError, RecursionError):
        return f"a large {type(value).__name__}"
