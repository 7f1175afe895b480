"""Imports from Oríon: the whole way of the genuine file, refusals, and crashes in between."""

from __future__ import annotations

import datetime
import json
import math
import os
from pathlib import Path

import pytest

from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.config.resolve import Layer, resolve
from orion_hpc.config.settings import Settings
from orion_hpc.errors import (
    ExperimentConflict,
    ImportRefused,
    NoConfigurationError,
    StorageError,
    StorageUnusable,
)
from orion_hpc.experiments.get_or_create import Built, draft
from orion_hpc.experiments.location import Place
from orion_hpc.importers.orion import importer
from orion_hpc.importers.orion.experiment_documents import FoundExperiment
from orion_hpc.importers.orion.importer import find_experiments, import_orion, trial_events, write
from orion_hpc.importers.orion.pickle_file import read_documents
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, ExperimentState
from orion_hpc.worker.plan import reservations
from tests.rigs.orion_file import EXPERIMENT, GENUINE, STATUSES, make, trial

UTC = datetime.timezone.utc


def build(storage: PickledDB, wanted: Settings, now: float) -> Built:
    """Find or make the experiment of ``wanted`` in an open storage."""
    place = Place(wanted.storage)
    return draft(ExperimentSpec.of(wanted), place, storage=storage).write(now)[1]


class Crash(Exception):
    """The process ends here."""


def old_file(tmp_path: Path, experiments=None, trials=(), name: str = "old.pkl") -> Path:
    """Make a database file of Oríon's."""
    path = tmp_path / name
    path.write_bytes(make(experiments, list(trials)))
    return path


def found_in(path: Path, name=None, version=None) -> list[FoundExperiment]:
    """Return the experiments in a file."""
    return find_experiments(read_documents(str(path)), str(path), name, version, 5, 9.0)


def held(path: Path) -> dict[str, ExperimentState]:
    """Return what the database at ``path`` holds, by title."""
    state = PickledDB(str(path)).refresh()
    return {one.title: one for one in state.experiments.values()}


def seconds(text: str | None) -> float | None:
    """Return the time that Oríon tells, which is in UTC."""
    if text is None:
        return None
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("path", [GENUINE, STATUSES], ids=lambda path: path.stem)
def test_the_database_holds_what_orion_reads(tmp_path, path):
    """Every field of every experiment and trial, read back from the journal."""
    storage, done = import_orion(path, str(tmp_path / "db.pkl"), None, None)
    assert storage == str(tmp_path / "db.pkl")
    experiments = held(tmp_path / "db.pkl")
    expected = json.loads(path.with_suffix(".json").read_text())
    assert len(experiments) == len(expected) == len(done)
    for known in expected:
        found = experiments[f"{known['name']}-v{known['version']}"]
        assert found.max_trials == known["max_trials"]
        assert found.max_broken == known["max_broken"]
        priors = {name.lstrip("/").replace("/", "."): p for name, p in known["space"].items()}
        assert found.configuration["space"] == Space.parse(priors).configuration
        ((algorithm, options),) = known["algorithm"].items()
        ((name, ours),) = found.configuration["algorithm"].items()
        assert name == algorithm
        assert {**ours, **{k: v for k, v in options.items() if v not in (None, math.inf)}} == ours
        assert found.configuration["imported"]["user"] == "ada"
        assert not found.to_import
        assert len(found.trials) == len(known["trials"])
        for number, (one, theirs) in enumerate(zip(found.trials, known["trials"], strict=True)):
            params = {
                name.lstrip("/").replace("/", "."): value
                for name, value in Space.flatten(theirs["params"]).items()
            }
            reserved = theirs["status"] == "reserved"
            assert one.number == number
            assert one.id == theirs["id"]
            assert repr(one.params) == repr(dict(sorted(params.items())))
            assert one.status == ("interrupted" if reserved else theirs["status"])
            assert (one.results or []) == theirs["results"]
            for key in ("submit_time", "start_time", "end_time"):
                assert getattr(one, key) == seconds(theirs[key]), key


def test_an_interrupted_import_of_ours_counts_no_loss(tmp_path):
    """A reserved trial was taken from nobody of ours: it has all its attempts left."""
    import_orion(STATUSES, str(tmp_path / "db.pkl"), "statuses", 1)
    (experiment,) = held(tmp_path / "db.pkl").values()
    (one,) = (t for t in experiment.trials if t.message and "reserved" in t.message)
    assert (one.losses, one.attempt, one.cause) == (0, 1, "cancelled")


@pytest.mark.parametrize(
    ("name", "version", "titles"),
    [
        (None, None, ["cmd line-v1", "statuses-v1", "statuses-v2", "waiting-v1"]),
        ("statuses", None, ["statuses-v1", "statuses-v2"]),
        ("statuses", 2, ["statuses-v2"]),
        (None, 2, ["statuses-v2"]),
        ("cmd line", None, ["cmd line-v1"]),
    ],
)
def test_experiments_can_be_chosen(tmp_path, name, version, titles):
    """By the name that they have in Oríon, by the version, by both."""
    import_orion(STATUSES, str(tmp_path / "db.pkl"), name, version)
    assert list(held(tmp_path / "db.pkl")) == titles


def test_what_is_not_there_is_told_with_what_is(tmp_path):
    """And nothing is written."""
    with pytest.raises(NoConfigurationError) as caught:
        import_orion(STATUSES, str(tmp_path / "db.pkl"), "statsues", 3)
    assert caught.value.message == (
        f"there is no experiment 'statsues' version 3 in {STATUSES} (did you mean statuses?)"
    )
    assert caught.value.hint == "There are: cmd line, statuses, waiting."
    assert os.listdir(tmp_path) == []


def test_a_file_without_an_experiment_is_refused(tmp_path):
    """As Oríon makes it before the first one."""
    with pytest.raises(ImportRefused, match="without an experiment"):
        found_in(old_file(tmp_path, []))


def test_two_experiments_of_one_title_are_refused(tmp_path):
    """A file of Oríon has no two; a manipulated one may."""
    documents = [
        {**EXPERIMENT, "name": "a b"},
        {**EXPERIMENT, "_id": 2, "name": "a b"},
        {**EXPERIMENT, "_id": 3, "name": "a:b"},
    ]
    path = old_file(tmp_path, documents)
    with pytest.raises(ImportRefused, match="more than one experiment a b v1"):
        found_in(path)
    assert [one.title for one in found_in(path, "a:b")] == ["a:b v1"]


def test_trials_go_to_their_experiment(tmp_path):
    """By number, and those of none are nobody's."""
    documents = [EXPERIMENT, {**EXPERIMENT, "_id": 1 << 9999, "name": "b"}]
    trials = [trial(0), trial(1, experiment=1 << 9999), trial(2, experiment=3), trial(3)]
    one, other = found_in(old_file(tmp_path, documents, trials))
    assert [t.id for t in other.trials] == [f"{n:032x}" for n in (0, 3)]
    assert [t.id for t in one.trials] == [f"{1:032x}"]


def test_another_experiment_of_the_same_name_is_refused(tmp_path):
    """With what to do; of several in the file, not even the others are written."""
    path, db = old_file(tmp_path, trials=[trial(0)]), tmp_path / "db.pkl"
    build(PickledDB.create(str(db)), settings(db), 1.0)
    before = db.read_bytes()
    both = old_file(tmp_path, [EXPERIMENT, {**EXPERIMENT, "name": "b", "_id": 2}], name="both.pkl")
    for source in (path, both):
        with pytest.raises(ExperimentConflict) as caught:
            import_orion(source, str(db), None, None)
        assert caught.value.message == f"{db} has another experiment old v1"
        assert caught.value.hint == (
            "Choose others with --name and --version, or another database with --storage."
        )
        assert db.read_bytes() == before
    import_orion(both, str(db), "b", None)
    assert list(held(db)) == ["old-v1", "b-v1"]


def test_the_same_import_again_is_refused_and_others_go_on(tmp_path):
    """What is whole is left alone; a file that has more gives the rest."""
    path, db = old_file(tmp_path, trials=[trial(0)]), tmp_path / "db.pkl"
    import_orion(path, str(db), None, None)
    before = db.read_bytes()
    with pytest.raises(ExperimentConflict, match=r"old v1 was imported into .*db.pkl before"):
        import_orion(path, str(db), None, None)
    assert db.read_bytes() == before
    more = old_file(tmp_path, [EXPERIMENT, {**EXPERIMENT, "name": "b", "_id": 2}], [trial(0)])
    _, done = import_orion(more, str(db), None, None)
    assert [(one.found.title, one.new) for one in done] == [("b v1", True), ("old v1", False)]
    assert db.read_bytes().startswith(before)


def test_a_file_in_which_orion_went_on_is_another_experiment(tmp_path):
    """What is here may have gone on, too: nothing says how to put them together."""
    db = tmp_path / "db.pkl"
    import_orion(old_file(tmp_path, trials=[trial(0)]), str(db), None, None)
    with pytest.raises(ExperimentConflict, match="has another experiment old v1"):
        import_orion(old_file(tmp_path, trials=[trial(0), trial(1)]), str(db), None, None)


def test_a_target_that_is_no_database_is_refused(tmp_path):
    """Oríon's own file, for instance, given as both."""
    path = old_file(tmp_path)
    before = path.read_bytes()
    with pytest.raises(StorageUnusable):
        import_orion(path, str(path), None, None)
    assert path.read_bytes() == before


def test_an_experiment_takes_two_transactions(tmp_path):
    """One for its creation and one for all its trials."""
    db = tmp_path / "db.pkl"
    made = count_transactions(db, found_in(old_file(tmp_path, trials=[trial(n) for n in range(9)])))
    assert made == [CATALOGUE, 1]


def count_transactions(db: Path, found: list[FoundExperiment]) -> list[int]:
    """Write ``found``; return the experiment of each transaction."""
    numbers = []
    with pytest.MonkeyPatch.context() as patch:
        original = PickledDB.transact

        def counted(self, number, plan):
            numbers.append(number)
            return original(self, number, plan)

        patch.setattr(PickledDB, "transact", counted)
        write(str(db), found, 1.0)
    return numbers


def crash_at(db: Path, found: list[FoundExperiment], count: int) -> None:
    """Write ``found``, and end after ``count`` transactions."""
    left = count
    with pytest.MonkeyPatch.context() as patch:
        original = PickledDB.transact

        def crashing(self, number, plan):
            nonlocal left
            if not left:
                raise Crash
            left -= 1
            return original(self, number, plan)

        patch.setattr(PickledDB, "transact", crashing)
        with pytest.raises(Crash):
            write(str(db), found, 1.0)


def settings(db: Path, **changes):
    """Return the settings with which one goes on with the old experiment."""
    given = {
        "name": "old", "function": "math:sin", "space": {"x": "uniform(0, 1)"},
        "algorithm": {"random": {"seed": 7}}, "storage": str(db), **changes,
    }  # fmt: skip
    return resolve([Layer("test", given, db.parent, home=True)])


@pytest.mark.parametrize("count", range(6))
def test_an_import_that_was_cut_short_is_completed_by_the_same_again(tmp_path, monkeypatch, count):
    """Wherever it ended. Until then nobody can go on with a part of it."""
    monkeypatch.setattr(importer, "_MOST_BYTES", 400)  # so that trials take several transactions
    db = tmp_path / "db.pkl"
    documents = [EXPERIMENT, {**EXPERIMENT, "name": "zz", "_id": 2}]
    statuses = ["completed", "broken", "new", "reserved", "broken", "broken", "completed"]
    path = old_file(tmp_path, documents, [trial(n, status=s) for n, s in enumerate(statuses)])
    assert len(count_transactions(tmp_path / "whole.pkl", found_in(path))) == 6
    crash_at(db, found_in(path), count)
    there = held(db).get("old-v1")
    if there is not None and there.to_import:
        with pytest.raises(ExperimentConflict, match=f"in part: {there.to_import} trials are miss"):
            build(PickledDB(str(db)), settings(db), 2.0)
    _, done = import_orion(path, str(db), None, None)
    assert [one.new for one in done] == [count < 5, True]
    assert described(db) == described(tmp_path / "whole.pkl")
    build(PickledDB(str(db)), settings(db), 2.0)


def described(db: Path) -> list[object]:
    """Return what matters of the experiments in a database."""
    return [
        (one.title, one.max_trials, one.max_broken, one.trials, one.best, one.to_import)
        for one in held(db).values()
    ]


def test_two_imports_at_once_are_one(tmp_path):
    """Though each found an empty database: the second's transactions change nothing."""
    found = found_in(old_file(tmp_path, trials=[trial(0), trial(1, status="new")]))
    db = tmp_path / "db.pkl"
    batches = list(importer._batches(found[0], 1.0))
    first, second = (PickledDB.create(str(db)) for _ in range(2))
    first.refresh(), second.refresh()
    assert importer._write_one(first, found[0], batches)
    assert importer._write_one(second, found[0], batches)
    (one,) = held(db).values()
    assert [t.status for t in one.trials] == ["completed", "new"]
    # Even if the lock had let both write:
    second.transact(1, lambda state: batches[0].events)
    assert [t.status for t in held(db)["old-v1"].trials] == ["completed", "new"]
    assert held(db)["old-v1"].max_trials == 10


def test_an_experiment_that_is_made_meanwhile_is_not_touched(tmp_path):
    """It was looked for before, and is looked at again."""
    found = found_in(old_file(tmp_path, trials=[trial(0)]))
    db = tmp_path / "db.pkl"
    storage = PickledDB.create(str(db))
    storage.refresh()
    build(PickledDB(str(db)), settings(db), 1.0)
    with pytest.raises(ExperimentConflict, match="another process has just created"):
        importer._write_one(storage, found[0], list(importer._batches(found[0], 1.0)))
    assert held(db)["old-v1"].trials == []


def test_trials_that_do_not_get_in_are_told(tmp_path, monkeypatch):
    """Should a rule of replay refuse one, the import doesn't claim to be whole."""
    found = found_in(old_file(tmp_path, trials=[trial(0), trial(1)]))
    monkeypatch.setattr(
        importer, "trial_events", lambda number, one: trial_events(number, found[0].trials[0])
    )
    with pytest.raises(StorageError, match="old v1 is there in part: 1 trials are missing"):
        write(str(tmp_path / "db.pkl"), found, 1.0)


def test_limits_do_not_stand_in_the_way(tmp_path):
    """More completed trials than max_trials, more broken ones than max_broken: all are kept."""
    trials = [trial(n, status="completed" if n % 2 else "broken") for n in range(40)]
    db = tmp_path / "db.pkl"
    import_orion(old_file(tmp_path, trials=trials), str(db), None, None)
    (one,) = held(db).values()
    assert len(one.trials) == 40
    assert (one.max_trials, one.max_broken) == (10, 3)
    assert one.is_broken
    assert one.is_done


def test_submission_goes_on_from_the_history(tmp_path):
    """It learns what to run, keeps id, seed and origin, and its next trials are those of the seed
    that no imported trial has used up; what was interrupted comes first."""
    db = tmp_path / "db.pkl"
    import_orion(
        old_file(tmp_path, trials=[trial(0), trial(1, status="reserved")]), str(db), None, None
    )
    storage = PickledDB(str(db))
    built = build(storage, settings(db, kwargs={"a": 1}), 2.0)
    assert not built.created
    one = built.experiment
    assert one.configuration["function"] == "math:sin"
    assert one.configuration["kwargs"] == {"a": 1}
    assert one.configuration["imported"]["trials"] == 2
    assert (one.max_trials, one.max_broken, one.left) == (10, 3, 9)
    algorithm = make_algorithm(one.configuration["algorithm"], Space.parse({"x": "uniform(0, 1)"}))
    events = reservations(one, algorithm, 7, "w", 2, 3.0)
    assert [(type(event), event.number) for event in events] == [
        (ev.ReserveTrial, 1),
        (ev.RegisterTrial, 2),
    ]
    again = build(storage, settings(db, kwargs={"a": 1}), 4.0)
    assert again.experiment.number == one.number
    assert again.changes == []
    changed = build(storage, settings(db, kwargs={"a": 2}), 5.0)
    assert changed.changes == ["kwargs.a: 1 -> 2"]
    assert changed.experiment.configuration["imported"]["trials"] == 2
    with pytest.raises(ExperimentConflict, match=r"space\.x"):
        build(storage, settings(db, space={"x": "uniform(0, 2)"}), 6.0)


def test_a_drawn_seed_matches_a_configuration_without_one(tmp_path):
    """Oríon left it open, and so may the YAML."""
    db = tmp_path / "db.pkl"
    document = {**EXPERIMENT, "algorithm.random.seed": None}
    import_orion(old_file(tmp_path, [document]), str(db), None, None)
    built = build(PickledDB(str(db)), settings(db, algorithm="random"), 2.0)
    assert isinstance(built.experiment.configuration["algorithm"]["random"]["seed"], int)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"space": {"x": "uniform(0, 2)"}}, "space.x"),
        ({"algorithm": {"random": {"seed": 8}}}, "algorithm.random.seed"),
        ({"algorithm": "gridsearch"}, "algorithm"),
    ],
)
def test_another_search_is_refused(tmp_path, changes, told):
    """An imported experiment takes any function, and only its own space and algorithm."""
    db = tmp_path / "db.pkl"
    import_orion(old_file(tmp_path), str(db), None, None)
    with pytest.raises(ExperimentConflict, match=told):
        build(PickledDB(str(db)), settings(db, **changes), 2.0)
    assert held(db)["old-v1"].is_bare
