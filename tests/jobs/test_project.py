"""Which files make up a project, what stands for them, and their copy; with a real git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orion_hpc.jobs.git import checkout
from orion_hpc.jobs.project import Limits, TooLarge, copy, digest, find_project

LIMITS = Limits(files=100, size=10_000)


def git(folder: Path, *words: str) -> str:
    """Run git as somebody with a name; return what it says."""
    identity = ("-c", "user.email=a@example.org", "-c", "user.name=a")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *words],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


def write(folder: Path, *names: str, text: str = "x = 1\n") -> None:
    """Write a file for each of these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with tracked, untracked and ignored files."""
    folder = tmp_path / "r"
    folder.mkdir()
    git(folder, "init", "-q")
    write(folder, "a.py", "sub/b.py", "removed.py")
    write(folder, ".gitignore", text="*.log\nbuild/\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "removed.py").unlink()
    write(folder, "new.py", "run.log", "build/c.py")
    return folder


def test_what_git_doesnt_ignore(repository: Path) -> None:
    """From any folder inside; what was removed without a word to git isn't there."""
    for directory in (repository, repository / "sub"):
        project = find_project(str(directory), LIMITS)
        assert project.root == str(repository)
        assert project.files == (".gitignore", "a.py", "new.py", "sub/b.py")
        assert project.commit == git(repository, "rev-parse", "HEAD")


def test_a_checkout_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "a.py")
    project = find_project(str(tmp_path), LIMITS)
    assert (project.files, project.commit) == (("a.py",), None)


def test_a_hooks_variables_dont_mislead_it(repository, tmp_path, monkeypatch) -> None:
    """Git sets them for hooks, and then -C changes nothing."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    found = checkout(str(repository))
    assert found is not None
    assert found.root == str(repository)


def test_a_clone_inside_belongs_to_it(repository: Path) -> None:
    """As a submodule does."""
    inner = repository / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    write(inner, "d.py", "e.py")
    git(inner, "add", "d.py")
    assert {"inner/d.py", "inner/e.py"} < set(find_project(str(repository), LIMITS).files)


def test_without_git_it_is_what_looks_like_a_source(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.py", "sub/b.py", "__pycache__/a.pyc", "env/pyvenv.cfg", "env/lib/c.py",
        "cache/CACHEDIR.TAG", "cache/d", "db.pkl", "db.pkl.lock", "db.pkl.damaged-1",
        "db.pkl.files/x-v1/jobs/log", "sub/db.pkl", "note.lock",
    )  # fmt: skip
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("sub")
    project = find_project(str(tmp_path), LIMITS)
    assert project.files == ("a.py", "link", "note.lock", "sub/b.py", "sub/db.pkl")
    assert project.commit is None


@pytest.mark.parametrize("with_git", [True, False])
def test_too_much_is_told_before_it_is_read(tmp_path: Path, with_git: bool) -> None:
    if with_git:
        git(tmp_path, "init", "-q")
    write(tmp_path, *(f"f{number}" for number in range(4)))
    with pytest.raises(TooLarge, match="more than 3 files"):
        find_project(str(tmp_path), Limits(3, 10_000))
    with pytest.raises(TooLarge, match="MB"):
        find_project(str(tmp_path), Limits(9, 20))


def test_a_copy_has_all_and_nobody_writes_to_it(repository: Path, tmp_path: Path) -> None:
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    (repository / "near").symlink_to("sub/b.py")
    (repository / "absolute").symlink_to(repository / "a.py")
    (tmp_path / "data").write_text("1")
    (repository / "far").symlink_to("../data")
    (repository / "folder").symlink_to(repository / "sub")
    (repository / "ignored").symlink_to("build/c.py")
    project = find_project(str(repository), LIMITS)
    to = tmp_path / "copies" / "one"
    assert digest(copy(project, str(to))) == digest(project)
    (repository / "a.py").write_text("x = 2\n")
    assert (to / "a.py").read_text() == "x = 1\n"
    assert (to / "absolute").read_text() == "x = 1\n"
    assert (to / "near").read_text() == "x = 1\n"
    assert (to / "far").read_text() == "1"
    assert os.readlink(to / "folder") == "sub"
    assert os.readlink(to / "ignored") == str(repository / "build/c.py")
    assert (to / "run.sh").stat().st_mode & 0o777 == 0o555
    assert (to / "a.py").stat().st_mode & 0o777 == 0o444
    assert not (to / "run.log").exists()
    assert not (to / "removed.py").exists()


def test_a_digest_tells_every_change(repository: Path) -> None:
    """Names, contents, what may be run, where links lead to; not times."""
    seen = [digest(find_project(str(repository), LIMITS))]
    os.utime(repository / "a.py", (1, 1))
    assert digest(find_project(str(repository), LIMITS)) == seen[0]

    def rename() -> None:
        (repository / "new.py").rename(repository / "newer.py")

    def relink() -> None:
        (repository / "link").unlink()
        (repository / "link").symlink_to("new.py")

    for change in (
        lambda: (repository / "a.py").write_text("x = 2\n"),
        rename,
        lambda: (repository / "a.py").chmod(0o755),
        lambda: (repository / "link").symlink_to("a.py"),
        relink,
    ):
        change()
        seen.append(digest(find_project(str(repository), LIMITS)))
    assert len(set(seen)) == len(seen)


def test_a_file_that_goes_meanwhile_is_no_fault(repository: Path, tmp_path: Path) -> None:
    project = find_project(str(repository), LIMITS)
    (repository / "new.py").unlink()
    whole = digest(copy(project, str(tmp_path / "copy")))
    assert whole == digest(project) == digest(find_project(str(repository), LIMITS))
