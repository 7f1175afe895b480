"""Bad input: one clear sentence, exit code 2, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rigs.command import CONFIG, QUICK, orion_hpc, project

pytestmark = pytest.mark.usefixtures("no_slurm")


PRIOR = '"uniform(0, 1)"'


def listing(folder: Path) -> list[Path]:
    """Return everything below ``folder``, nothing excluded."""
    return sorted(folder.rglob("*"))


def refused(config: Path, *words: str) -> str:
    """Submit, expect a refusal that leaves no trace, and return what it says."""
    before = listing(config.parent)
    done = orion_hpc("submit", config, *words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert listing(config.parent) == before
    return done.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("max_trials: 8", "max_trails: 8"), "unknown key 'max_trails' (did you mean max_trials?)"),
        (("max_trials: 8", "max_trials: many"), "max_trials is 'many'; expected a whole number"),
        (("{heartbeat: 5,", "{heartbeat: -5,"), "worker.heartbeat is -5"),
        (("name: quick", "name: [quick"), "line 2, column 9"),
        (('"uniform(0, 1)"', '"unifrom(0, 1)"'), "unifrom"),
        (('"uniform(0, 1)"', '"uniform(1, 0)"'), "uniform(1, 0)"),
        (('space: {x: "uniform(0, 1)"}', "space: {}"), "space"),
        (("{random: {seed: 1}}", "randon"), "unknown algorithm 'randon' (did you mean random?)"),
        (("{random: {seed: 1}}", "{random: {sed: 1}}"), "algorithm random has no option 'sed'"),
        (("quick:main", "quick:man"), "man"),
        (("quick:main", "quack:main"), "quack"),
        (("{heartbeat: 5,", "{executor: jobli, heartbeat: 5,"), "unknown executor 'jobli'"),
        (("function: quick:main", "command: [pythno, t.py]"), "no program 'pythno' on the PATH"),
        (("function: quick:main", "command: [python3, t.py]"), "there is no script 't.py'"),
        (("function: quick:main", "command: [./quick.py]"), "quick.py isn't executable"),
        (("max_trials: 8", "max_trials: 8\nworking_dir: quick.py/x"), "quick.py isn't a directory"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1][:30],
)
def test_a_wrong_setting_is_named(tmp_path, change, told):
    """What is wrong and what would be right, before anything is written."""
    config = project(tmp_path / "p", CONFIG.replace(*change))
    assert told in refused(config)
    assert told in refused(config, "--dry-run")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nonsense_module\ndef main(x): return x", "nonsense_module"),
        ("def main(x: return x", "line 1"),
        ("raise RuntimeError('not today')\ndef main(x): return x", "not today"),
        ("import sys; sys.exit(3)", "quick"),
        ("main = 5", "not a function"),
        ("def main(y): return y", "x"),
    ],
    ids=["missing-import", "syntax", "raises", "exits", "not-callable", "wrong-argument"],
)
def test_a_function_that_cannot_work_is_told_at_submission(tmp_path, code, told):
    """Ten jobs that all fail after an hour in the queue are what this check saves."""
    assert told in refused(project(tmp_path / "p", quick=code))


def test_a_missing_file_is_named(tmp_path):
    """No config, no traceback."""
    done = orion_hpc("submit", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert f"there is no file {tmp_path / 'none.yaml'}" in done.stderr


def test_a_directory_that_cannot_hold_the_database_is_named(tmp_path):
    """A file where a directory should be; permission is no obstacle to root, who runs the tests."""
    (tmp_path / "file").write_text("")
    config = project(tmp_path / "p")
    told = refused(config, "--storage", str(tmp_path / "file" / "db.pkl"))
    assert f"{tmp_path / 'file'} isn't a directory" in told


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    """A wrong --storage must not cost anybody a file."""
    config = project(tmp_path / "p")
    other = tmp_path / "thesis.pkl"
    other.write_bytes(b"\x80\x04precious")
    assert "isn't a database of orion-hpc" in refused(config, "--storage", str(other))
    assert other.read_bytes() == b"\x80\x04precious"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--executor", "sulrm"), "unknown launcher 'sulrm' (did you mean slurm?)"),
        (("--executor", "slurm"), "there is no sbatch"),
        (("--array", "ten"), "slurm.array is 'ten'"),
        (("--time", "soon"), "slurm.time is 'soon'"),
        (("--", "--array=5"), "'array' has its own place: use --array N"),
        (("--", "--wait"), "'wait' can't be used"),
        (("--", "--srun-args=x"), "'srun-args' isn't an option of sbatch"),
        (("--", "stray"), "isn't a long option of sbatch"),
        (("--no-such-flag",), "No such option"),
        (("--mail-type", "END"), "an option of sbatch, write it at the end: -- --mail-type=…"),
        (("--template", "none.j2"), "can't be read"),
        (("--executor", "local", "--template", "x"), "a template is for Slurm"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_flag_is_named(tmp_path, words, told):
    """Flags are checked as the file is."""
    assert told in refused(project(tmp_path / "p"), *words)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            (PRIOR, f"{PRIOR}, lr: 1e-3"),
            "Write a constant into kwargs: {lr: 0.001} or into the command.",
        ),
        (
            (PRIOR, f"{PRIOR}, opt: adam"),
            "Write a constant into kwargs: {opt: 'adam'} or into the command.",
        ),
        (
            (PRIOR, f"{PRIOR}, b: yes"),
            "Write a constant into kwargs: {b: true} or into the command.",
        ),
        ((PRIOR, f"{PRIOR}, act: [relu, tanh]"), "act: \"choices(['relu', 'tanh'])\""),
        (("max_trials: 8", "slurm: {mail-type: END}"), "unknown key 'slurm.mail-type'"),
        (("max_trials: 8", "slurm: {mail_type: END}"), "slurm: {additional: {mail-type: 'END'}}"),
        (("max_trials: 8", "slurm: {cpus_per_tsk: 2}"), "(did you mean cpus-per-task?)"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1][-20:],
)
def test_what_was_meant_is_shown_in_the_form_to_write(tmp_path, change, told):
    """What can be searched, what is constant, and how sbatch spells its options."""
    assert told in refused(project(tmp_path / "p", CONFIG.replace(*change)))


def test_a_guess_resembles_what_was_written(tmp_path):
    """Two letters of five in common are no guess."""
    told = refused(project(tmp_path / "p", CONFIG.replace("{random: {seed: 1}}", "bayes")))
    assert "unknown algorithm 'bayes'\n" in told


def test_what_is_probably_left_out_is_noted(tmp_path):
    """A search without an end, and a script that doesn't get its parameters as words."""
    open_end = CONFIG.replace("max_trials: 8\n", "").replace(
        "function: quick:main", 'command: ["sh", "-c", "exit 1", "{x}"]'
    )
    two = open_end.replace(f"x: {PRIOR}", f"x: {PRIOR}, y: {PRIOR}")
    config = project(tmp_path / "p", two)
    told = orion_hpc("submit", config, "--executor", "debug").stderr
    assert "Note: max_trials isn't given: the search goes on until" in told
    assert (
        "Note: the command has no {y}: a script finds all parameters in ORION_HPC_PARAMS." in told
    )
    assert "Note" not in orion_hpc("submit", project(tmp_path / "q"), "--executor", "debug").stderr


def test_an_unknown_variable_of_ours_is_named(tmp_path, monkeypatch):
    """A misspelt environment variable isn't silently without effect."""
    monkeypatch.setenv("ORION_HPC_MAX_TRAILS", "5")
    assert "ORION_HPC_MAX_TRAILS" in refused(project(tmp_path / "p"))


def test_other_settings_under_the_same_name_are_refused_with_a_way_out(tmp_path):
    """Nobody mixes two searches in one history by accident."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config, "--executor", "debug").returncode == 0
    before = (tmp_path / "p" / "db.pkl").read_bytes()
    config.write_text(CONFIG.replace("uniform(0, 1)", "uniform(0, 2)"))
    told = refused(config)
    assert "experiment 'quick' version 1 exists with other settings" in told
    assert "space.x is uniform(0, 1) in the database and uniform(0, 2) here" in told
    assert "--name" in told
    assert "--version 2" in told
    assert (tmp_path / "p" / "db.pkl").read_bytes() == before
    assert orion_hpc("submit", config, "--version", "2", "--executor", "debug").returncode == 0


def test_the_file_of_an_older_version_is_told_its_version(tmp_path):
    """Neither does it change what the highest version runs, though it may."""
    config = project(tmp_path / "p", quick=f"{QUICK}\n\ndef other(x):\n    return x\n")
    assert orion_hpc("submit", config, "--executor", "debug").returncode == 0
    for old, new in (("uniform(0, 1)", "uniform(0, 2)"), ("quick:main", "quick:other")):
        config.write_text(CONFIG.replace(old, new))
        words = ("--version", "3" if old == "quick:main" else "2")
        assert orion_hpc("submit", config, *words, "--executor", "debug").returncode == 0
        config.write_text(CONFIG)
        told = refused(config)
        assert f"version {words[1]} exists with other settings" in told
        assert new in told
        assert "settings of version 1: continue it with --version 1." in told
        assert f"--version {int(words[1]) + 1}" in told
    done = orion_hpc("submit", config, "--version", "1", "--executor", "debug")
    assert done.returncode == 0
    assert "quick v1 goes on" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--storage", "none.pkl"), "there is no database at"),
        (("--storage", "p/db.pkl", "--name", "quik"), "no experiment 'quik'"),
        (("p/config.yaml", "--version", "7"), "no experiment 'quick' version 7"),
    ],
)
def test_status_of_what_is_not_there_says_what_is(tmp_path, words, told):
    """A wrong name is answered with the right ones."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config, "--executor", "debug").returncode == 0
    done = orion_hpc("status", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_worker_without_its_experiment_says_so(tmp_path):
    """A job that outlived its database ends with a sentence."""
    done = orion_hpc("worker", "--storage", tmp_path / "db.pkl", "--name", "x")
    assert done.returncode == 2
    assert "there is no database at" in done.stderr


def test_the_quick_project_is_right(tmp_path):
    """All of the above differ in one thing from a project that works."""
    done = orion_hpc("submit", project(tmp_path / "p", quick=QUICK), "--executor", "debug")
    assert done.returncode == 0, done.stderr
