"""Pickles of plain data: what goes through, and that nothing else does."""

from __future__ import annotations

import os
import pickle
import pickletools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.journal import safe_pickle

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)  # fmt: skip


@given(values)
def test_plain_data_goes_through(value):
    """Every kind of plain data comes back equal and of the same type."""
    assert repr(safe_pickle.loads(safe_pickle.dumps(value))) == repr(value)


class Evil:
    """Asks for a call when it is unpickled."""

    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("value", [Evil(), os.system, Evil, object(), 1j, range(3)])
def test_the_writer_refuses_what_no_reader_accepts(value):
    """A value that would poison the journal doesn't get into it, and is named."""
    with pytest.raises(TypeError, match="not plain data"):
        safe_pickle.dumps({"params": [value]})


def hostile() -> list[bytes]:
    """Return pickles that ask for calls, in every way the opcodes offer."""
    made = [pickle.dumps(Evil(), protocol) for protocol in range(6)]
    made += [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02cos\nsystem\nU\x04true\x85\x81.",
        b"\x82\x01.",
        b"Ppersistent\n.",
        b"\x8c\x01xQ.",
        b"}(\x8c\x01ak\x01ub.",
        b"\x80\x05\x97.",
    ]
    return made


@pytest.mark.parametrize("data", hostile(), ids=lambda data: data[:12].hex())
def test_no_pickle_runs_anything(data, monkeypatch):
    """Whatever a pickle asks to call isn't even looked up."""
    monkeypatch.setattr(os, "system", lambda command: pytest.fail("it was called"))
    with pytest.raises(pickle.UnpicklingError):
        safe_pickle.loads(data)


@given(st.binary(max_size=200))
def test_garbage_is_refused_in_one_way(data):
    """Bytes that are no pickle raise UnpicklingError and nothing else."""
    try:
        safe_pickle.loads(data)
    except pickle.UnpicklingError:
        return
    list(pickletools.genops(data))
