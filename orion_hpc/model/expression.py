"""Parses the text of a prior as a call with literal arguments, and keeps the place of each.

Handles Python's syntax; distributions are handled in :mod:`orion_hpc.model.prior`. The text is
untrusted: no name in it is looked up or called, and its nesting and arithmetic are bounded.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 20_000
"""Characters of a prior: enough for some hundred choices, not for a file pasted by mistake."""

_MAX_DEPTH = 10
_MAX_PIECE = 400
_MAX_EXPONENT = 1024
_MAX_NUMBER = 1e300  # so that differences and logarithms of bounds are finite, too

_MARKER = re.compile(r"\s*(?:(?:orion)?~)?\s*")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_MEANT = {"true": "True", "false": "False", "none": "None", "null": "None"}


class MalformedExpression(Exception):
    """The text isn't a prior.

    Parameters
    ----------
    reason : str
        What is wrong, as a clause.
    start, length : int
        The place in the text, in characters from 0.
    hint : str, default ""
        How to write it.
    """

    def __init__(self, reason: str, start: int = 0, length: int = 1, hint: str = "") -> None:
        super().__init__(reason, start, length, hint)
        self.reason, self.start, self.length, self.hint = reason, start, length, hint


class Pairs(tuple[tuple[Any, Any], ...]):
    """The items of a dict literal, including repeated keys."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A literal (number, str, bool, None, list or :class:`Pairs`) and its place in the text."""

    value: Any
    start: int
    length: int

    def wrong(self, reason: str, hint: str = "") -> MalformedExpression:
        """Return the error that points at this argument."""
        return MalformedExpression(reason, self.start, self.length, hint)


@dataclass(frozen=True, slots=True)
class Call:
    """``name(*positional, **keywords)``; ``name`` is an argument because that has a place."""

    name: Argument
    positional: tuple[Argument, ...]
    keywords: dict[str, Argument]


def parse(text: str) -> Call:
    """Return the call that ``text`` contains; Oríon's marker ``~`` before it is skipped.

    Raises
    ------
    MalformedExpression
        It isn't a call of a name with literal arguments.
    """
    if len(text) > MAX_TEXT:
        raise MalformedExpression(f"the prior is longer than {MAX_TEXT:,} characters")
    marker = _MARKER.match(text)
    start = marker.end() if marker else 0
    source = text[start:].replace("\r\n", " \n").replace("\r", "\n").rstrip()
    if not source:
        raise MalformedExpression(
            "the prior is empty", hint="Write one such as 'loguniform(1e-5, 1)'."
        )
    _guard(source, start)
    try:
        with warnings.catch_warnings():  # about escapes such as '\d'
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        at = _offset(source.split("\n"), error.lineno or 1, max(0, (error.offset or 1) - 1))
        raise MalformedExpression(f"this can't be read ({error.msg})", start + at) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise MalformedExpression(f"this can't be read ({error})", start, len(source)) from None
    return _Reader(source, start).call(tree)


def _guard(source: str, start: int) -> None:
    """Refuse deep nesting: not every version of Python bounds its parser's recursion."""
    bare = _STRING.sub("''", source)
    depth = 0
    for character in bare:
        depth += (character in "([{") - (character in ")]}")
        if depth > _MAX_DEPTH:
            raise MalformedExpression("this is nested too deeply", start, len(source))
    if max(map(len, bare.split(","))) > _MAX_PIECE:
        raise MalformedExpression("this has too much between two commas", start, len(source))


def _offset(lines: list[str], lineno: int, column: int) -> int:
    whole = sum(len(line) + 1 for line in lines[: lineno - 1])
    return min(whole + column, sum(map(len, lines)) + len(lines) - 1)


class _Reader:
    """Converts syntax to values; ``start`` is the offset of the source in the user's text."""

    def __init__(self, source: str, start: int) -> None:
        self._lines = source.split("\n")
        self._start = start

    def call(self, node: ast.expr) -> Call:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            name = node.id if isinstance(node, ast.Name) else "uniform"
            hint = f"Write a distribution and its arguments, such as {name}(…)."
            raise self._wrong(node, "this isn't a distribution with arguments", hint)
        keywords: dict[str, Argument] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self._wrong(keyword, "arguments can't be unpacked with '**'")
            if keyword.arg in keywords:
                raise self._wrong(keyword, f"{keyword.arg} is given twice")
            keywords[keyword.arg] = self._argument(keyword.value)
        positional = tuple(self._argument(argument) for argument in node.args)
        return Call(Argument(node.func.id, *self._place(node.func)), positional, keywords)

    def _argument(self, node: ast.expr) -> Argument:
        return Argument(self._value(node), *self._place(node))

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bool | None):
            return node.value
        if isinstance(node, ast.List | ast.Tuple):
            return [self._value(element) for element in node.elts]
        if isinstance(node, ast.Dict):
            return Pairs(
                self._pair(node, *pair) for pair in zip(node.keys, node.values, strict=True)
            )
        return self._number(node)

    def _pair(self, node: ast.Dict, key: ast.expr | None, value: ast.expr) -> tuple[Any, Any]:
        if key is None:
            raise self._wrong(node, "dictionaries can't be unpacked with '**'")
        return self._value(key), self._value(value)

    def _number(self, node: ast.expr) -> int | float:
        value: Any
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            value = node.value
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            operand = self._number(node.operand)
            value = -operand if isinstance(node.op, ast.USub) else operand
        elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            value = self._computed(node)
        else:
            raise self._not_literal(node)
        if isinstance(value, complex) or not abs(value) <= _MAX_NUMBER:
            raise self._wrong(node, f"this isn't a number within ±{_MAX_NUMBER:g}")
        return value  # type: ignore[no-any-return]

    def _computed(self, node: ast.BinOp) -> Any:
        left, right = self._number(node.left), self._number(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) > _MAX_EXPONENT:
            raise self._wrong(node, f"the exponent isn't within ±{_MAX_EXPONENT}")
        try:
            return _OPERATORS[type(node.op)](left, right)
        except (ArithmeticError, ValueError) as error:
            raise self._wrong(node, f"this can't be computed ({error})") from None

    def _not_literal(self, node: ast.expr) -> MalformedExpression:
        hint = "Arguments are numbers, texts in quotes, True, False, None, lists and dictionaries."
        if not isinstance(node, ast.Name):
            return self._wrong(node, "this isn't a literal", hint)
        if node.id in ("inf", "nan", "infinity"):
            return self._wrong(node, f"{node.id} isn't a finite number")
        meant = _MEANT.get(node.id.lower())
        first = f"Write {meant}." if meant else f"A text needs its quotes: '{node.id}'."
        return self._wrong(node, f"{node.id} is a bare word", f"{first} {hint}")

    def _place(self, node: ast.expr | ast.keyword) -> tuple[int, int]:
        first = self._at(node.lineno, node.col_offset)
        if node.end_lineno is None or node.end_col_offset is None:
            return self._start + first, 1
        return self._start + first, max(1, self._at(node.end_lineno, node.end_col_offset) - first)

    def _at(self, lineno: int, column: int) -> int:
        line = self._lines[min(lineno, len(self._lines)) - 1]  # columns count bytes of UTF-8
        return _offset(self._lines, lineno, len(line.encode()[:column].decode(errors="ignore")))

    def _wrong(
        self, node: ast.expr | ast.keyword, reason: str, hint: str = ""
    ) -> MalformedExpression:
        return MalformedExpression(reason, *self._place(node), hint)
