"""The package's shape: sizes, and names that stand once. Its layers are import-linter's part."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import orion_hpc

ROOT = Path(orion_hpc.__file__).parent
MODULES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.py"))}

LINES, FUNCTION_LINES, PARAMETERS = 450, 60, 8

ORION = {
    ("client/api.py", "build_experiment"),
    ("client/api.py", "workon"),
    ("client/experiment.py", "workon"),
}
"""Functions with Oríon's parameters, which are their own manual: their docstrings don't count."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Yield each function with its module."""
    for module, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                yield module, node


def lines_of(module: str, function: Function) -> int:
    """Return how many lines a function has."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if (module, function.name) in ORION:
        lines -= len((ast.get_docstring(function, clean=False) or "").splitlines())
    return lines


def parameters_of(function: Function) -> int:
    """Return how many parameters a function has, ``self`` and ``cls`` aside."""
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return sum(one.arg not in ("self", "cls") for one in every)


def twice(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return what is there more than once."""
    return {name: places for name, places in found.items() if len(places) > 1}


def test_modules_are_read_in_one_sitting():
    """None has more lines than can be kept in mind."""
    assert {name: n for name, t in MODULES.items() if (n := t.count("\n")) > LINES} == {}


def test_functions_fit_a_screen():
    """From ``def`` to the last line."""
    found = {(module, one.name): lines_of(module, one) for module, one in functions()}
    assert {where: lines for where, lines in found.items() if lines > FUNCTION_LINES} == {}


def test_functions_have_few_parameters():
    """More than eight are a dataclass of options."""
    found = {(module, one.name): parameters_of(one) for module, one in functions()}
    assert {where for where, count in found.items() if count > PARAMETERS} <= ORION


def test_the_name_of_a_module_stands_once():
    """Whoever reads it in a traceback or an import knows which one it is."""
    found = defaultdict(list)
    for module in MODULES:
        folder, _, name = module.rpartition("/")
        # base.py is what a seam is, and commands are called as what they do.
        if name not in ("__init__.py", "base.py") and folder != "cli":
            found[name].append(module)
    assert twice(found) == {}


def test_the_name_of_a_public_class_stands_once():
    """The same word means the same thing everywhere."""
    found = defaultdict(list)
    for module, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(module)
    assert twice(found) == {}
