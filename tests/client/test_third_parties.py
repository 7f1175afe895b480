"""Executors, algorithms and storages that another distribution registers by entry points."""

from __future__ import annotations

import importlib.metadata
import sys
from importlib.metadata import EntryPoint

import pytest

from orion_hpc import plugins
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.client import build_experiment, get_experiment
from orion_hpc.errors import AlgorithmError, ConfigurationError, OrionHpcError

THIRD = """\
from concurrent.futures import Future

from orion_hpc.journal.memory import MemoryStorage, SharedJournal

journals = {}


class Slow:
    in_process = False

    def __init__(self, n_workers, cpus, pause=0.0):
        self.n_workers = n_workers

    def submit(self, function, argument):
        future = Future()
        future.set_result(function(argument))
        return future

    def wait(self, futures, timeout):
        return set(futures)

    def close(self, kill=False):
        pass


class Middle:
    cheap = True

    def __init__(self, space, *, step=1.0):
        self.space, self.step = space, step

    def suggest(self, history, number, rng):
        return {name: 5.0 + self.step * number for name in self.space}


class Failing(Middle):
    def suggest(self, history, number, rng):
        if number == 2:
            raise ZeroDivisionError("division by zero")
        return super().suggest(history, number, rng)


class Unmade(Middle):
    def __init__(self, space):
        space.nothing()


class Careless:
    def __init__(self, space):
        pass

    def suggest(self, history, number, rng):
        return None


class Mute:
    cheap = True

    def __init__(self, space):
        pass


class Babbling(Middle):
    def advice(self, max_trials):
        return "take more trials"


class Speechless(Middle):
    def advice(self, max_trials):
        return [1 / 0]


class Unsure(Middle):
    @property
    def learns(self):
        return 1 / 0


class Checking(Middle):
    @staticmethod
    def check(step):
        return 1 / 0


class Opener:
    def __init__(self, folder, host="here"):
        self.folder, self.host = folder, host

    def __call__(self, follows):
        journal = journals.setdefault(self.host, SharedJournal())
        return MemoryStorage(journal, follows)
"""


@pytest.fixture(autouse=True)
def _third_party(tmp_path, monkeypatch):
    (tmp_path / "third_party_of_test.py").write_text(THIRD)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {
        "orion_hpc.executors": [("slow", "Slow")],
        "orion_hpc.algorithms": [
            (name.lower(), name)
            for name in (
                *("Middle", "Failing", "Unmade", "Careless", "Mute", "Absent"),
                *("Babbling", "Speechless", "Unsure", "Checking", "journals"),
            )
        ],
        "orion_hpc.storages": [("elsewhere", "Opener")],
    }

    def entry_points(group):
        return [
            EntryPoint(name, f"third_party_of_test:{value}", group)
            for name, value in found.get(group, ())
        ]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    yield
    sys.modules.pop("third_party_of_test", None)


def test_all_three_work_together(tmp_path):
    """Chosen by name, with their own options; a second client sees the same trials."""
    storage = {"type": "elsewhere", "folder": str(tmp_path / "shared"), "host": "there"}
    experiment = build_experiment(
        "e", space={"x": "uniform(0, 10)"}, algorithm={"middle": {"step": 0.5}}, max_trials=3,
        storage=storage,
    )  # fmt: skip
    with experiment.tmp_executor("slow", n_workers=2, pause=0.1):
        assert experiment.workon(lambda x: x) == 3
    assert [trial.params["x"] for trial in experiment.fetch_trials()] == [5.0, 5.5, 6.0]
    assert experiment.storage == "elsewhere"
    assert get_experiment("e", storage=storage).stats.trials_completed == 3
    assert experiment.working_dir.startswith(str(tmp_path / "shared"))


@pytest.mark.parametrize(
    ("call", "told", "known"),
    [
        (lambda: build_experiment("e", space={"x": "uniform(0, 1)"}, algorithm="midle", debug=True),
         "did you mean middle",
         "absent, asha, babbling, careless, checking, cmaes, failing, gp, gridsearch, hyperband, "
         "journals, middle, mute, nsga2, pbt, qmc, random, speechless, tpe, unmade, unsure"),
        (lambda: build_experiment("e", storage={"type": "elswhere"}),
         "did you mean elsewhere", "elsewhere, ephemeraldb, pickleddb"),
        (lambda: build_experiment("e", debug=True, space={"x": "uniform(0, 1)"}, executor="slo"),
         "did you mean slow", "dask, joblib, poolexecutor, single, slow"),
    ],
)  # fmt: skip
def test_an_unknown_one_is_told_with_all_there_are(call, told, known):
    """Those that ship and those of others."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        call()
    assert f"There are: {known}." in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "algorithm absent can't be imported from third_party_of_test:Absent: Attribu"),
        ("unmade", "algorithm unmade can't be made: AttributeError: 'Space' object has no"),
        ("careless", "algorithm careless lacks cheap"),
        ("mute", "algorithm mute lacks suggest"),
        ("journals", "algorithm journals is {}, which is not a class"),
        ({"asha": {"sampler": "journals"}}, "algorithm journals is {}, which is not a class"),
        ("unsure", "algorithm unsure can't be made: ZeroDivisionError: division"),
        ("checking", "algorithm checking can't check its options: ZeroDivisionError: division"),
    ],
)
def test_an_algorithm_that_is_not_one_is_told_as_such(tmp_path, name, message):
    """By its name, with what is wrong with it; nothing is written."""
    path = tmp_path / "db.pkl"
    with pytest.raises(OrionHpcError) as caught:
        build_experiment(
            "e", space={"x": "uniform(0, 10)"}, algorithm=name, max_trials=3, storage=str(path)
        )
    assert message in caught.value.message
    assert caught.value.hint
    assert not path.exists()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = (", "SyntaxError: '(' was never closed (their.py, line 1)"),
        ("\nraise ValueError('no\\nluck')", "ValueError: no luck (their.py, line 2)"),
        ("\nfrom orion_hpc.errors import did_you_mean\ndid_you_mean(1)", "(their.py, line 3)"),
    ],
)
def test_an_error_is_told_with_the_place_in_their_code(code, told):
    """Rather than where this package called it, or was called by it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        exec(compile(code, "their.py", "exec"), {})
    assert told in plugins.describe_error(caught.value)


def test_an_error_without_a_place_of_theirs_names_none():
    """A signature that doesn't fit is found in this package's line."""
    with pytest.raises(AlgorithmError) as caught:
        make_algorithm("unmade", None)
    assert "third_party_of_test.py, line" in caught.value.message
    with pytest.raises(ConfigurationError) as missing:
        make_algorithm("absent", None)
    assert missing.value.message.endswith("has no attribute 'Absent'")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("babbling", "algorithm babbling gives what is no advice: 'take more trials'"),
        ("speechless", "algorithm speechless can't give advice: ZeroDivisionError: division"),
    ],
)
def test_advice_that_is_none_is_told_as_such(name, message):
    """And no experiment is made."""
    with pytest.raises(AlgorithmError) as caught:
        build_experiment(
            "e", space={"x": "uniform(0, 10)"}, algorithm=name, max_trials=3, debug=True
        )
    assert message in caught.value.message


def test_an_algorithm_that_fails_names_the_trial_and_the_line(tmp_path):
    """The trials before it stand."""
    experiment = build_experiment(
        "e",
        space={"x": "uniform(0, 10)"},
        algorithm="failing",
        max_trials=5,
        storage=str(tmp_path / "db.pkl"),
    )
    with pytest.raises(AlgorithmError) as caught:
        experiment.workon(lambda x: x)
    assert caught.value.message.startswith(
        "algorithm failing failed at trial 2: ZeroDivisionError: division by zero ("
    )
    assert "third_party_of_test.py, line " in caught.value.message
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(experiment.fetch_trials_by_status("completed")) == 2
