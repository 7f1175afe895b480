"""Reading YAML: what words mean, and one clear sentence for every way a file can be wrong."""

# ruff: noqa: E501 - a row of a table is easier to read in one line, with the whole message.

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from orion_hpc.config import document
from orion_hpc.config.document import read_value, read_yaml
from orion_hpc.errors import ConfigurationError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, so that messages name files as a user types them."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(path: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read_yaml(path)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("-1E+3", -1000.0),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("12", 12),
        ("-7", -7),
        ("1_000", 1000),
        ("0x10", 16),
        ("0", 0),
        ("00123", "00123"),
        ("00:30:00", "00:30:00"),
        ("1:30", "1:30"),
        ("1-12:00", "1-12:00"),
        ("2024-01-01", "2024-01-01"),
        ("2G", "2G"),
        ("10%4", "10%4"),
        ("=", "="),
        ("true", True),
        ("Off", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("y", "y"),
        ("svm:main", "svm:main"),
        ("'1e-6'", "1e-6"),
    ],
)
def test_words_mean_what_they_look_like(here: Path, text: str, value: Any) -> None:
    """Numbers are numbers, times and account numbers stay texts, in files and in variables alike."""
    Path("c.yaml").write_text(f"key: {text}\n")
    for read in (read_yaml("c.yaml").mapping["key"], read_value(text, "X")):
        assert (read, type(read)) == (value, type(value))


def test_not_a_number_is_read(here: Path) -> None:
    """``.nan`` is a float (it equals nothing, so it has a test of its own)."""
    assert math.isnan(read_value(".nan", "X"))


@pytest.mark.parametrize("text", ["/a: b/#c", "@x", "*x", "&a", "- a", "a: b", "%x", "!t"])
def test_a_bare_value_is_one_word(text: str) -> None:
    """What YAML would take for syntax is a plain text in a variable."""
    assert read_value(text, "X") == text


def test_collections_are_read_from_values() -> None:
    """A value that opens as a collection is parsed as YAML."""
    assert read_value(" {a: [1, 1e-3]}", "X") == {"a": [1, 0.001]}


def test_positions_and_path(here: Path) -> None:
    """A document knows its absolute path, its name as typed, and the line of each value."""
    Path("c.yaml").write_text("# a comment\nname: x\nspace:\n  lr: uniform(0, 1)\nl: [1,\n 2]\n")
    read = read_yaml("c.yaml")
    assert (read.path, read.name) == (here / "c.yaml", "c.yaml")
    assert read.positions[("name",)] == (2, 1)
    assert read.positions[("space", "lr")] == (4, 3)
    assert read.positions[("l", 1)] == (6, 2)


def test_a_byte_order_mark_is_no_part_of_the_first_key(here: Path) -> None:
    """A file saved by an editor that marks UTF-8 reads like any other."""
    Path("c.yaml").write_bytes(b"\xef\xbb\xbfname: x\n")
    assert read_yaml("c.yaml").mapping == {"name": "x"}


def test_merge_keys(here: Path) -> None:
    """``<<`` fills in what a mapping hasn't; the first of several sources wins."""
    Path("c.yaml").write_text(
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\n"
    )
    assert read_yaml("c.yaml").mapping["c"] == {"x": 1, "y": 1, "z": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "c.yaml is empty"),
        (b"# only a comment\n", "c.yaml is empty"),
        (b"- a\n", "c.yaml holds a list, not a mapping"),
        (b"hello\n", "c.yaml holds a single value, not a mapping"),
        (b"a: \xff\n", "c.yaml isn't text in UTF-8: byte 0xff in line 1"),
        (b"a: 1\nb: [1,\n", "c.yaml doesn't parse: line 3, column 1: expected the node content, but found '<stream end>'"),
        (b"a: 1\n b: 2\n", "c.yaml doesn't parse: line 2, column 3: mapping values are not allowed here"),
        (b"a: 1\n---\nb: 2\n", "c.yaml doesn't parse: line 2, column 1: but found another document"),
        (b"a: *nobody\n", "c.yaml doesn't parse: line 1, column 4: found undefined alias 'nobody'"),
        (b"a: 1\nb: \x00\n", "c.yaml doesn't parse: line 2 has a character YAML doesn't allow"),
        (b'a: "\\U00110000"\n', "c.yaml doesn't parse: chr() arg not in range(0x110000)"),
        (b'a: "\\ud800"\n', "c.yaml, line 1: '\\ud800' can't be read as str"),
        (b"name: x\nb: 1\nname: y\n", "c.yaml, line 3: the key 'name' is given twice, first in line 1"),
        (b"w:\n  a: 1\n  'a': 2\n", "c.yaml, line 3: the key 'a' is given twice, first in line 2"),
        (b"[a]: 1\n", "c.yaml, line 1: a list or a mapping can't be a key"),
        (b"a: {<<: 5}\n", "c.yaml, line 1: '<<' merges what isn't a mapping"),
        (b"a: &a [*a]\n", "c.yaml nests its values more than 40 deep"),
        (b"a: " + b"[" * 5000, "c.yaml nests its values more than 40 deep"),
        (b"a: " + b"[" * 60 + b"]" * 60, "c.yaml nests its values more than 40 deep"),
        (b"a: !!python/object/apply:os.system [ls]\n", "c.yaml, line 1: the tag !!python/object/apply:os.system isn't allowed"),
        (b"a: !mine 1\n", "c.yaml, line 1: the tag !mine isn't allowed"),
        (b"a: !!binary xx\n", "c.yaml, line 1: the tag !!binary isn't allowed"),
        (b"a: !!int x\n", "c.yaml, line 1: 'x' can't be read as int"),
        (b"a: !!bool x\n", "c.yaml, line 1: 'x' can't be read as bool"),
        (b"a: " + b"9" * 5000, f"c.yaml, line 1: '{'9' * 39}…' can't be read as int"),
    ],
)  # fmt: skip
def test_wrong_files(here: Path, content: bytes, message: str) -> None:
    """Each fault of a file's text is one sentence with the place in it, and most have a hint."""
    Path("c.yaml").write_bytes(content)
    error = refusal("c.yaml")
    assert error.message == message
    assert error.exit_code == 2


def test_a_tab_is_named(here: Path) -> None:
    """The hint says what to do about a tab, the fault that can't be seen."""
    Path("c.yaml").write_text("a:\n\tb: 1\n")
    assert refusal("c.yaml").hint == "Indent with spaces; YAML allows no tabs there."


def test_missing_file_and_directory(here: Path) -> None:
    """A path that is no file says so, and what to give instead."""
    assert str(refusal("c.yaml")) == (
        "there is no file c.yaml\nGive the path of a YAML file, such as config.yaml."
    )
    assert str(refusal(".")) == ". is a directory\nGive the file in it, such as config.yaml."
    assert refusal("a\0b").message == "a\0b can't be read: embedded null byte"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(here: Path) -> None:
    """A file without permission to read it is named with the system's reason."""
    Path("c.yaml").touch(mode=0)
    assert refusal("c.yaml").message == "c.yaml can't be read: Permission denied"


def test_a_parent_that_is_no_directory(here: Path) -> None:
    """Any other failure of the system is named with its reason (this one happens to root too)."""
    Path("f").touch()
    assert refusal("f/c.yaml").message == "f/c.yaml can't be read: Not a directory"


def test_large_files_are_not_read(here: Path) -> None:
    """A file that can't be a configuration is refused before it is parsed; devices end too."""
    with open("c.yaml", "wb") as file:
        file.truncate(document.MAX_BYTES + 1)
    assert refusal("c.yaml").message == "c.yaml is larger than 1,000,000 bytes"
    assert refusal("/dev/zero").message == "/dev/zero is larger than 1,000,000 bytes"


@pytest.mark.parametrize("form", ["[{0}, {0}, {0}, {0}, {0}]", "{{<<: [{0}, {0}, {0}, {0}, {0}]}}"])
def test_billion_laughs(here: Path, form: str) -> None:
    """Aliases that multiply, as values or as merges, are refused before they fill the memory."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} " + form.format(f"*a{i - 1}") for i in range(1, 30)]
    Path("c.yaml").write_text("\n".join(lines))
    assert refusal("c.yaml").message == (
        "c.yaml holds more than 100,000 values once its aliases are expanded"
    )
