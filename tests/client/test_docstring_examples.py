"""Every name of the Python API has an example in its docstring, and every example runs."""

from __future__ import annotations

import ast
import doctest
import inspect
import os

import pytest

from orion_hpc import client, errors, plugins, text
from orion_hpc.algorithms import base as algorithms
from orion_hpc.client import array, reporting, trial, trials
from orion_hpc.executors import base as executors
from orion_hpc.worker import trial_view

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public_names():
    """Yield the public names of the Python API as ``(dotted name, object, is a property)``."""
    exported = [getattr(client, name) for name in client.__all__]
    for name in client.__all__:
        yield from with_members(f"client.{name}", getattr(client, name))
    for module in (trials, array, trial):
        for name, found in vars(module).items():
            homes = (module.__name__, trial_view.__name__)
            own = getattr(found, "__module__", None) in homes and found not in exported
            if own and not name.startswith("_") and name not in INTERNAL:
                yield from with_members(
                    f"{module.__name__.removeprefix('orion_hpc.')}.{name}", found
                )


INTERNAL = {
    "JobRequest": "made by ExperimentClient.submit",
    "submit": "called by ExperimentClient.submit",
    "Home": "what a trial knows of its experiment",
    "Parent": "what a trial knows of its parent",
    "TrialView": "the base class of Trial",
    "shown": "makes the Trial of one of the journal",
}
"""Names without an underscore that users don't meet, with what they are for."""


def with_members(name, found):
    yield name, found, False
    if not inspect.isclass(found):
        return
    for attribute in dir(found):
        if attribute.startswith("_"):
            continue
        member = inspect.getattr_static(found, attribute)
        if isinstance(member, property):
            yield f"{name}.{attribute}", member, True
        elif inspect.isfunction(member):
            yield f"{name}.{attribute}", member, False


NAMES = {name: (found, is_property) for name, found, is_property in public_names()}
CALLABLES = [name for name, (_, is_property) in NAMES.items() if not is_property]
PROPERTIES = [name for name, (_, is_property) in NAMES.items() if is_property]


def examples(found):
    return doctest.DocTestParser().get_examples(inspect.getdoc(found) or "")


def test_the_python_api_has_the_names_that_are_looked_through():
    """So that a search that finds nothing doesn't pass."""
    assert {
        "client.build_experiment",
        "client.ExperimentClient.suggest",
        "client.ExperimentClient.workon",
        "client.report_objective",
        "client.trials.to_pandas",
        "client.array.SubmittedJobs.wait",
        "client.trial.Result.to_dict",
    } <= set(CALLABLES)
    assert {"client.ExperimentClient.stats", "client.Trial.objective"} <= set(PROPERTIES)
    assert len(CALLABLES) > 35


@pytest.mark.parametrize("name", CALLABLES)
def test_every_function_class_and_method_has_an_example(name):
    """Under a heading of its own, as numpy's style wants it."""
    found, _ = NAMES[name]
    text = inspect.getdoc(found) or ""
    heading = text.find("Examples\n--------\n")
    assert heading >= 0, f"the docstring of {name} has no section Examples"
    assert ">>> " in text[heading:], f"the section Examples of {name} has no example"


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_is_used_in_an_example(name):
    """In its own docstring, or in that of its class or one of the base classes."""
    owner, _, attribute = name.rpartition(".")
    kind, _ = NAMES[owner]
    texts = [NAMES[name][0], *kind.__mro__[:-1]]
    used = {
        node.attr
        for text in texts
        for example in examples(text)
        for node in ast.walk(ast.parse(example.source))
        if isinstance(node, ast.Attribute)
    }
    assert attribute in used, f"no example shows {name}"


@pytest.mark.parametrize("name", CALLABLES)
def test_every_function_and_method_describes_its_parameters_and_what_it_returns(name):
    """numpy style: each parameter by name, and a section for what comes back."""
    found, _ = NAMES[name]
    text = inspect.getdoc(found) or ""
    assert len(text.splitlines()[0]) > 10
    if inspect.isclass(found):
        return
    signature = inspect.signature(found, eval_str=False)
    for parameter in signature.parameters:
        assert parameter == "self" or parameter in text, f"{name} doesn't describe {parameter}"
    if signature.return_annotation not in ("None", "NoReturn", None):
        section = "Yields" if "Iterator" in signature.return_annotation else "Returns"
        assert f"{section}\n{'-' * len(section)}\n" in text, name


def documented():
    """Yield everything whose examples have to run: the Python API, and what others implement."""
    yield from ((name, found) for name, (found, _) in NAMES.items() if examples(found))
    for kind in client.ExperimentClient.__mro__[1:-1]:
        yield f"client.{kind.__name__}", kind
    for module in (client, algorithms, executors, errors, plugins, text):
        tests = doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__)
        yield from ((one.name, one) for one in tests if one.examples)


RUN = dict(documented())


@pytest.mark.parametrize("name", RUN)
def test_every_example_runs_and_prints_what_it_says(name, tmp_path, monkeypatch):
    """In an empty directory, without settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reporting, "_reported", False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for variable in list(os.environ):
        if variable.startswith("ORION_HPC_"):
            monkeypatch.delenv(variable)
    found = RUN[name]
    if isinstance(found, doctest.DocTest):
        test = found
    else:
        text = inspect.getdoc(found) or ""
        test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples
    test.globs = {"__name__": "__main__"}
    output: list[str] = []
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(
        test, out=output.append, clear_globs=True
    )
    assert not result.failed, "".join(output)
