"""The files of a site and of a user: where they are, what they may set, and what wins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orion_hpc.config.config_files import load_settings, standing_files, standing_layers
from orion_hpc.config.document import read_yaml
from orion_hpc.config.resolve import Layer, document_layer, resolve
from orion_hpc.errors import ConfigurationError


def place(folder: Path, site: str | None = None, user: str | None = None) -> dict[str, str]:
    """Write the two files, where they are given; return an environment that finds them."""
    if site is not None:
        (folder / "site.yaml").write_text(site)
    if user is not None:
        (folder / ".config" / "orion-hpc").mkdir(parents=True)
        (folder / ".config" / "orion-hpc" / "config.yaml").write_text(user)
    there = {"ORION_HPC_SITE_CONFIG": str(folder / "site.yaml")} if site is not None else {}
    return {"HOME": str(folder), **there}


def test_where_they_are():
    assert standing_files({"HOME": "/h"}) == (
        Path("/etc/orion-hpc/config.yaml"), Path("/h/.config/orion-hpc/config.yaml"),
    )  # fmt: skip
    named = {"ORION_HPC_SITE_CONFIG": "/s/s.yaml", "XDG_CONFIG_HOME": "/x", "HOME": "/h"}
    assert standing_files(named) == (Path("/s/s.yaml"), Path("/x/orion-hpc/config.yaml"))
    assert standing_files({"XDG_CONFIG_HOME": "x", "HOME": "/h"})[1].is_relative_to("/h")


def test_each_source_wins_over_those_before(tmp_path):
    """Site < user < environment < the experiment's file < flags, and each is told by its place."""
    environ = place(
        tmp_path,
        "max_broken: 1\nmax_attempts: 1\nslurm: {qos: s, account: s}\nworker:\n  grace: 1\n",
        "max_attempts: 2\nslurm:\n  account: u\n  partition: u\nworker: {grace: 2}\n",
    )
    environ |= {"ORION_HPC_WORKER__GRACE": "3", "ORION_HPC_SLURM__PARTITION": "e"}
    own = tmp_path / "c.yaml"
    own.write_text("name: x\nmax_trials: 4\nslurm: {partition: f, time: 5}\n")
    layers = [*standing_layers(environ), document_layer(read_yaml(own), "c.yaml")]
    flags = Layer("flags", {"max_trials": 6}, Path("/"))
    settings = resolve([*layers, flags], needs=())
    user = tmp_path / ".config/orion-hpc/config.yaml"
    expected = {
        "max_broken": (1, f"{tmp_path / 'site.yaml'}, line 1"),
        "max_attempts": (2, f"{user}, line 1"),
        "max_trials": (6, "flags"),
        "lock": (None, "defaults"),
    }
    for name, (value, where) in expected.items():
        assert (getattr(settings, name), settings.place(name)) == (value, where)
    slurm = settings.slurm
    assert (slurm.qos, slurm.account, slurm.partition) == ("s", "u", "f")
    assert settings.place("slurm.account") == f"{user}, line 3"
    assert settings.place("slurm.partition") == "c.yaml, line 3"
    assert settings.worker.grace == 3
    assert settings.place("worker.grace") == "ORION_HPC_WORKER__GRACE"


def test_a_commands_settings_come_from_all_of_them(tmp_path, monkeypatch):
    """With a file or without; a flag that wasn't given takes nothing back."""
    monkeypatch.chdir(tmp_path)
    for name, value in place(tmp_path, "lock: lease\n", "max_broken: 2\n").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("ORION_HPC_MAX_ATTEMPTS", "5")
    own = tmp_path / "c.yaml"
    own.write_text("name: x\nstorage: own.pkl\n")
    settings = load_settings(own, {"storage": None, "name": "y"}, needs=("name",))
    assert (settings.name, settings.storage) == ("y", str(tmp_path / "own.pkl"))
    assert (settings.lock, settings.max_broken, settings.max_attempts) == ("lease", 2, 5)
    assert settings.place("name") == "flags"
    settings = load_settings(None, {"storage": "flag.pkl"}, needs=())
    assert (settings.name, settings.storage) == (None, str(tmp_path / "flag.pkl"))
    with pytest.raises(ConfigurationError, match="name is missing"):
        load_settings(None, {})


def test_relative_paths_begin_at_their_file_and_home_stays_the_experiments(tmp_path):
    environ = place(tmp_path, user="template: site.j2\nstorage: searches.pkl\n")
    (tmp_path / "p").mkdir()
    own = tmp_path / "p" / "c.yaml"
    own.write_text("name: x\n")
    settings = resolve([*standing_layers(environ), document_layer(read_yaml(own))], needs=())
    assert settings.template == str(tmp_path / ".config/orion-hpc/site.j2")
    assert settings.storage == str(tmp_path / ".config/orion-hpc/searches.pkl")
    assert settings.directory == tmp_path / "p"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_a_file_that_sets_nothing(tmp_path, text):
    settings = resolve(standing_layers(place(tmp_path, text, text)), needs=())
    assert settings.max_broken == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lock: flock\nname: mine\n", "site.yaml, line 2: name belongs to an experiment"),
        ("space: {x: 'uniform(0, 1)'}\n", "space belongs to an experiment"),
        ("- a\n", "holds a list"),
        ("max_trails: 3\n", "unknown key 'max_trails' (did you mean max_trials?)"),
        ("worker: {grace: soon}\n", "site.yaml, line 1: worker.grace is 'soon'"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, told):
    environ = place(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        resolve(standing_layers(environ), needs=())
    assert told in str(caught.value)


def test_a_site_file_that_is_promised_and_missing(tmp_path):
    environ = {"HOME": str(tmp_path), "ORION_HPC_SITE_CONFIG": str(tmp_path / "no.yaml")}
    with pytest.raises(ConfigurationError, match=r"ORION_HPC_SITE_CONFIG names .*no.yaml, which"):
        standing_layers(environ)


@pytest.mark.parametrize("what", ["fifo", "folder", "dangling"])
def test_what_is_no_file_is_told(tmp_path, what):
    """A pipe would keep every command waiting."""
    path = tmp_path / "site.yaml"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    environ = {"HOME": str(tmp_path), "ORION_HPC_SITE_CONFIG": str(path)}
    with pytest.raises(ConfigurationError, match=r"site.yaml"):
        standing_layers(environ)
