"""The commands in hints run as they are shown, and mean what the user's own command was about."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import click
import pytest

from orion_hpc.cli.main import cli
from orion_hpc.cli.selection import Selection
from orion_hpc.plugins import install_command
from tests.rigs.command import CONFIG, QUICK, orion_hpc, project, status_of

ROOT = Path(__file__).parents[2]
FAULTY = "def main(x):\n    return 1 / 0\n"


def commands_in(text: str) -> list[str]:
    """Return the commands that a text shows."""
    quoted = re.findall(r"'(orion-hpc [^']*)'", text)
    return quoted + re.findall(r"(?:Next|with): (orion-hpc .*)", text)


@pytest.fixture
def config(tmp_path: Path, no_slurm: None) -> Path:
    """A project whose function breaks every trial."""
    return project(tmp_path, CONFIG, quick=FAULTY)


def shown(folder: Path, *words: str) -> list[str]:
    """Run a command, and return the commands that it shows."""
    done = orion_hpc(*words, cwd=folder)
    found = commands_in(done.stdout + done.stderr)
    assert "CONFIG" not in " ".join(found), found
    return found


def run_all(folder: Path, commands: list[str]) -> None:
    for command in commands:
        done = orion_hpc(*shlex.split(command)[1:], cwd=folder)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert "Traceback (most recent call last)" not in done.stderr


def test_hints_of_a_broken_experiment(config: Path, tmp_path: Path) -> None:
    """Of ``submit`` with all its options, and of ``status``; then the function is fixed."""
    submitted = shown(
        tmp_path, "submit", "--executor", "local", "config.yaml", "--storage", "d.pkl"
    )
    assert submitted == [
        "orion-hpc logs config.yaml --storage d.pkl --failed",
        "orion-hpc submit --executor local config.yaml --storage d.pkl --max-broken 6",
    ]
    status = shown(tmp_path, "status", "config.yaml", "--storage", "d.pkl")
    assert status == [submitted[0], "orion-hpc submit config.yaml --storage d.pkl --max-broken 6"]
    config.with_name("quick.py").write_text(QUICK)
    run_all(tmp_path, submitted + status)
    (one,) = (status_of(config, "--storage", str(tmp_path / "d.pkl")),)
    assert one["state"] == "done"


def test_hints_name_the_experiment_that_they_are_about(config: Path, tmp_path: Path) -> None:
    """Of two versions and two names in one database, with a configuration and without."""
    for version in ("1", "2"):
        orion_hpc("submit", "config.yaml", "--version", version, cwd=tmp_path)
    with_file = shown(tmp_path, "status", "config.yaml")
    assert with_file == [
        "orion-hpc logs config.yaml --version 1 --failed",
        "orion-hpc submit config.yaml --version 1 --max-broken 6",
        "orion-hpc logs config.yaml --failed",
        "orion-hpc submit config.yaml --max-broken 6",
    ]
    orion_hpc("submit", "config.yaml", "--name", "other", cwd=tmp_path)
    done = orion_hpc("status", "--storage", "db.pkl", cwd=tmp_path)
    without = [one for one in commands_in(done.stdout) if " logs " in one]
    assert without == [
        "orion-hpc logs --storage db.pkl --name quick --version 1 --failed",
        "orion-hpc logs --storage db.pkl --name quick --failed",
        "orion-hpc logs --storage db.pkl --name other --failed",
    ]
    config.with_name("quick.py").write_text(QUICK)
    run_all(tmp_path, with_file + without)


def test_hints_of_errors_and_of_what_comes_next(config: Path, tmp_path: Path) -> None:
    """What isn't there, what was cancelled, inserted, or has no worker."""
    config.with_name("quick.py").write_text(QUICK)
    assert shown(tmp_path, "status", "config.yaml") == ["orion-hpc submit config.yaml"]
    assert shown(tmp_path, "resume", "config.yaml") == ["orion-hpc submit config.yaml"]
    inserted = shown(tmp_path, "insert", "config.yaml", "x=0.5", "--max-trials", "9")
    assert inserted == ["orion-hpc submit config.yaml --max-trials 9"]
    waiting = shown(tmp_path, "status", "config.yaml")
    cancelled = shown(tmp_path, "cancel", "config.yaml")
    assert waiting == cancelled == ["orion-hpc resume config.yaml"]
    # Only the user knows the configuration's name where it wasn't given.
    stopped = orion_hpc("status", "--storage", "db.pkl", cwd=tmp_path).stdout
    assert commands_in(stopped) == ["orion-hpc resume CONFIG --storage db.pkl --name quick"]
    run_all(tmp_path, inserted + waiting)
    assert status_of(config)["trials"]["completed"] == 9
    for words in (("--trial", "99"), ("--worker", "99")):
        (found,) = shown(tmp_path, "logs", "config.yaml", *words)
        run_all(tmp_path, [found])


def strings(tree: ast.Module) -> Iterator[str]:
    """Yield the texts in a module that aren't docstrings; values that are filled in are 1."""
    parts = {
        id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
        for value in node.values
    }  # fmt: skip
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            parts.add(id(body[0].value))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                value.value if isinstance(value, ast.Constant) else "1" for value in node.values
            )
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
        ):
            yield node.value


def test_every_command_in_a_message_is_one() -> None:
    """All messages of the package: known commands and options, with all arguments."""
    checked, mine = set(), Selection(Path("c.yaml"), "d.pkl", None, None)
    for path in (ROOT / "orion_hpc").rglob("*.py"):
        for text in strings(ast.parse(path.read_text())):
            for command in commands_in(text):
                words = shlex.split(mine.fill(command))[1:]
                found: click.Command = cli
                while isinstance(found, click.Group):
                    found = found.commands[words.pop(0)]
                found.make_context(str(found.name), words)
                assert "DATABASE" not in words
                checked.add(command)
    assert {"orion-hpc submit CONFIG", "orion-hpc resume CONFIG"} <= checked
    assert len(checked) > 10


@pytest.mark.parametrize(
    ("selection", "text", "expected"),
    [
        (Selection(Path("my c.yaml"), None, None, 2), "'orion-hpc logs CONFIG --failed' shows it",
         "'orion-hpc logs 'my c.yaml' --version 2 --failed' shows it"),
        (Selection(None, "d.pkl", "e", None), "'orion-hpc resume CONFIG' continues.",
         "'orion-hpc resume CONFIG --storage d.pkl --name e' continues."),
        (Selection(None, None, None, None), "orion-hpc status CONFIG", "orion-hpc status CONFIG"),
        (Selection(Path("c"), None, None, None, ("c", "--dry-run", "--keep", "--", "--nice=7")),
         "'orion-hpc submit CONFIG --max-broken 6' continues.",
         "'orion-hpc submit c --keep --max-broken 6 -- --nice=7' continues."),
        (Selection(None, "d.pkl", None, None), "orion-hpc db export DATABASE --format csv",
         "orion-hpc db export d.pkl --format csv"),
        (Selection(Path("none.yaml"), None, None, None), "orion-hpc db info DATABASE",
         "orion-hpc db info DATABASE"),
    ],
)  # fmt: skip
def test_arguments_are_put_into_commands(selection: Selection, text: str, expected: str) -> None:
    """The user's own, quoted for a shell; options of sbatch stay behind the double dash."""
    assert selection.fill(text) == expected


def test_what_to_install_is_what_the_extra_has() -> None:
    """The libraries themselves: pip finds the package only where it was installed by its name."""
    command, install, *names = shlex.split(install_command("dask"))
    assert (command, install) == ("pip", "install")
    assert {name.partition(">")[0] for name in names} == {"dask", "distributed"}
    declared = {one.partition(";")[0].strip() for one in requires("orion-hpc") or ()}
    assert set(names) <= declared
    assert install_command("no-such") == "pip install 'orion-hpc[no-such]'"
