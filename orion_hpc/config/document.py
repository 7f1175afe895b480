"""Reads a YAML file, or one value, into plain data with the position of each key.

The only importer of PyYAML. The meaning of the keys is left to other modules. Three surprising
rules of YAML 1.1 are not applied: see :class:`_Loader`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import yaml

from orion_hpc.errors import ConfigurationError

MAX_BYTES = 1_000_000
"""A larger file isn't a configuration (and PyYAML would need a minute to read it)."""

MAX_VALUES = 100_000
"""The most values of a file after the expansion of aliases ("billion laughs")."""

MAX_DEPTH = 40
"""The deepest nesting; also stops a value that contains itself through an alias."""

Keys: TypeAlias = tuple[Any, ...]
"""The position of a value: the keys (and indices of lists) that lead to it."""

_TAG = "tag:yaml.org,2002:"
_INT = r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)"
_FLOAT = (
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's mapping, its absolute path, its name as typed, and the positions of its values.

    ``positions`` is ``keys -> (line, column)``, both from 1.
    """

    mapping: dict[Any, Any]
    path: Path
    name: str
    positions: Mapping[Keys, tuple[int, int]]


class _Loader(yaml.SafeLoader):
    """Differs from YAML 1.1 in the meaning of unquoted words.

    ``1e-6`` is a number (1.1 wants ``1.0e-6``). ``00:30:00`` and ``1:30`` are texts (1.1 counts in
    base 60). ``2024-01-01`` is a text. So is ``00123``, an account more often than an octal number.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the parent's own way to declare it


for _kind, _words, _first in (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (
        "bool",
        r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
        "yYnNtTfFoO",
    ),
    ("float", _FLOAT, "-+.0123456789"),
    ("int", _INT, "-+0123456789"),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_words})$"), list(_first))


def read_yaml(path: str | os.PathLike[str], may_be_empty: bool = False) -> Document:
    """Return the content of the YAML file at ``path``; ``may_be_empty``: an empty file is allowed.

    Raises
    ------
    ConfigurationError
        The file doesn't exist, can't be read, isn't YAML, or isn't a mapping.
    """
    text = _text_of(Path(path))
    builder = _Builder(str(path))
    mapping = builder.read(text)
    if mapping is None and may_be_empty:
        mapping = {}
    if mapping is None:
        raise ConfigurationError(f"{path} is empty", "It needs at least name, space and function.")
    if not isinstance(mapping, dict):
        kind = "list" if isinstance(mapping, list) else "single value"
        raise ConfigurationError(
            f"{path} holds a {kind}, not a mapping", "Write one 'key: value' per line."
        )
    return Document(mapping, Path(os.path.abspath(path)), str(path), builder.positions)


def read_value(text: str, source: str) -> Any:
    """Return the value of ``text`` as in YAML; ``source`` names it in errors.

    Only a text that begins like a collection or a quoted string is parsed as YAML. Any other is one
    unquoted word, so that a path with ``: `` or ``#`` in it stays a path.
    """
    if text.lstrip()[:1] in ("{", "[", '"', "'"):
        return _Builder(source).read(text)
    word = text.strip()
    tag = str(_Loader("").resolve(yaml.ScalarNode, word, (True, False)))  # type: ignore[no-untyped-call]
    return _Builder(source).scalar(yaml.ScalarNode(tag, word))


class _Dumper(yaml.SafeDumper):
    """Quotes each text that :class:`_Loader` would read as something else."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the parent's own way to declare it
        first: [*_Loader.yaml_implicit_resolvers.get(first, []), *resolvers]
        for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }


def as_yaml(value: Any) -> str:
    """Return plain data as YAML, in the order given, which also readers of YAML 1.1 understand."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False,
        width=10**6,
    )  # fmt: skip
    return text


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no file {path}", "Give the path of a YAML file, such as config.yaml."
        ) from None
    except IsADirectoryError:
        raise ConfigurationError(
            f"{path} is a directory", f"Give the file in it, such as {path / 'config.yaml'}."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"{path} can't be read: {reason}", "Check the path and its permissions."
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigurationError(
            f"{path} is larger than {MAX_BYTES:,} bytes",
            "This is no configuration; give the YAML file that describes the experiment.",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path} isn't text in UTF-8: byte {content[error.start]:#04x} in line {line}",
            "Give a YAML file (and not the database), saved as UTF-8.",
        ) from None


@dataclass(slots=True)
class _Builder:
    """Converts YAML nodes into plain data, within bounds."""

    source: str
    positions: dict[Keys, tuple[int, int]] = field(default_factory=dict)
    values: int = 0

    def read(self, text: str) -> Any:
        """Return the one document of ``text``, or None where there is none."""
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            self._unparsable(error)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self._fail(
                f"doesn't parse: line {line} has a character YAML doesn't allow",
                f"Remove {chr(error.character)!r}, or write it as an escape in quotes.",
            )
        except RecursionError:
            self._too_deep()
        except (ValueError, OverflowError) as error:
            # PyYAML raises the ValueError of chr() for an escape such as "\U00110000".
            self._fail(f"doesn't parse: {error}", "Look for a wrong escape in a quoted text.")
        return None if node is None else self.build(node, (), 0)

    def build(self, node: yaml.Node, keys: Keys, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            self._fail(
                f"holds more than {MAX_VALUES:,} values once its aliases are expanded",
                "Use fewer aliases (the words that begin with '*').",
            )
        if depth > MAX_DEPTH:
            self._too_deep()
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            built = []
            for index, item in enumerate(node.value):
                self.positions[(*keys, index)] = _place(item)
                built.append(self.build(item, (*keys, index), depth + 1))
            return built
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, keys, depth)
        return self._refuse_tag(node)

    def _mapping(self, node: yaml.MappingNode, keys: Keys, depth: int) -> dict[Any, Any]:
        own: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                # Built like any value and not by PyYAML, whose merge is unbounded.
                sources = self.build(value_node, keys, depth + 1)
                for source in sources if isinstance(sources, list) else [sources]:
                    if not isinstance(source, dict):
                        self._fail("'<<' merges what isn't a mapping", "", key_node)
                    merged = {**source, **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._fail(
                    "a list or a mapping can't be a key", "Write a name before ':'.", key_node
                )
            key = self.scalar(key_node)
            if key in own:
                line = _place(own[key][0])[0]
                self._fail(
                    f"the key {key!r} is given twice, first in line {line}",
                    "Keep one of them.",
                    key_node,
                )
            own[key] = (key_node, value_node)
        for key, (key_node, value_node) in own.items():
            self.positions[(*keys, key)] = _place(key_node)
            merged[key] = self.build(value_node, (*keys, key), depth + 1)
        return merged

    def scalar(self, node: yaml.ScalarNode) -> Any:
        """Return an unquoted or quoted word as None, bool, int, float or str."""
        word, kind = str(node.value), str(node.tag).removeprefix(_TAG)
        try:
            if kind == "str":
                word.encode()  # a lone surrogate can't be encoded
                return word
            if kind == "null":
                return None
            if kind == "bool":
                return _BOOLS[word.lower()]
            if kind == "int":
                return int(word.replace("_", ""), 0)
            if kind == "float":
                plain = word.replace("_", "").lower()
                return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", plain))
        except (ValueError, KeyError):
            shown = word if len(word) <= 40 else word[:39] + "…"
            self._fail(f"{shown!r} can't be read as {kind}", "Put it in quotes.", node)
        return self._refuse_tag(node)

    def _refuse_tag(self, node: yaml.Node) -> NoReturn:
        tag = str(node.tag)
        shown = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
        self._fail(f"the tag {shown} isn't allowed", "Use plain values.", node)

    def _unparsable(self, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = error.problem or error.context or "not YAML"
        hint = "Check the indentation, the colons and the quotes there."
        if "'\\t'" in problem:
            hint = "Indent with spaces; YAML allows no tabs there."
        self._fail(f"doesn't parse: {place}{problem}", hint)

    def _too_deep(self) -> NoReturn:
        self._fail(
            f"nests its values more than {MAX_DEPTH} deep",
            "Make it flatter; look for an open '[' or an alias of itself.",
        )

    def _fail(self, what: str, hint: str, node: yaml.Node | None = None) -> NoReturn:
        mark = node.start_mark if node is not None else None
        place = f", line {mark.line + 1}:" if mark is not None else ""
        raise ConfigurationError(f"{self.source}{place} {what}", hint) from None


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
