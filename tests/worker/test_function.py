"""The user's function: how it is found, what is told if it isn't, and what it is called with."""

from __future__ import annotations

import sys

import pytest

from orion_hpc.errors import ConfigurationError
from orion_hpc.worker.function import (
    TrialHandle,
    call_function,
    check_signature,
    load_function,
)
from orion_hpc.worker.task import FunctionTarget, TrialTask


@pytest.fixture(autouse=True)
def _pristine(monkeypatch):
    """Undo what a load does to the interpreter."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def module(folder, name="svm", text="def main(C):\n    return C\n"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    return str(folder)


def task(target, folder, params=None, attempt=1):
    return TrialTask(
        target=target,
        number=7,
        id="ab" * 16,
        attempt=attempt,
        params=params or {},
        flat_params={},
        working_dir=str(folder / "trials" / "7"),
        experiment="svm",
    )


def refusal(path, name):
    with pytest.raises(ConfigurationError) as caught:
        load_function(path, name)
    return caught.value.message


def test_a_function_is_found_beside_the_configuration(tmp_path):
    """The directory that is named comes first, and stays for what is imported later."""
    path = module(tmp_path)
    assert load_function(path, "svm:main")(3) == 3
    assert sys.path[0] == path
    assert load_function(path, "svm:main") is load_function(path, "svm:main")


def test_modules_and_attributes_may_have_dots(tmp_path):
    """A package with and without __init__.py, and a method, are all functions."""
    text = "class Model:\n    @staticmethod\n    def fit():\n        return 5\n"
    module(tmp_path / "bare", "model", text)
    module(tmp_path / "full", "model", text)
    module(tmp_path / "full", "__init__", "")
    for package in ("bare", "full"):
        assert load_function(str(tmp_path), f"{package}.model:Model.fit")() == 5


def test_two_directories_have_modules_of_the_same_name(tmp_path):
    """Neither the function's module nor its helpers are taken from the directory before."""
    text = "import helper\ndef main():\n    return helper.WHERE\n"
    for where in ("one", "two"):
        module(tmp_path / where, "svm", text)
        module(tmp_path / where, "helper", f"WHERE = {where!r}")
    functions = [load_function(str(tmp_path / where), "svm:main") for where in ("one", "two")]
    assert [function() for function in functions] == ["one", "two"]
    assert load_function(str(tmp_path / "one"), "svm:main")() == "one"
    assert str(tmp_path / "two") not in sys.path


def test_a_module_that_the_program_imported_itself_is_not_taken(tmp_path):
    """The name alone doesn't make it the module beside the configuration."""
    sys.path.insert(0, module(tmp_path / "program", "config", "def main():\n    return 'wrong'\n"))
    import config

    path = module(tmp_path / "beside", "config", "def main():\n    return 'right'\n")
    assert load_function(path, "config:main")() == "right"
    assert config.main() == "wrong"


@pytest.mark.parametrize(("name", "whose"), [("random", "Python's own"), ("yaml", "an installed")])
def test_a_name_of_pythons_or_of_a_package_in_use_is_refused(tmp_path, name, whose):
    """A file that would hide what the worker itself imports is found before it does."""
    pytest.importorskip(name)
    message = refusal(module(tmp_path, name), f"{name}:main")
    assert message.startswith(f"the module {name!r} in {tmp_path} has the name of {whose}")


def test_an_installed_function_can_be_named(tmp_path):
    """A function needn't lie beside the configuration."""
    assert load_function(str(tmp_path), "json:dumps")({}) == "{}"


@pytest.mark.parametrize("name", ["svm", ":main", "svm:", ".svm:main"])
def test_a_name_without_its_parts_is_refused(tmp_path, name):
    """The form is told."""
    assert refusal(module(tmp_path), name) == f"{name!r} doesn't name a function"


def test_a_missing_module_is_told_with_the_nearest(tmp_path):
    """A misspelt module isn't confused with one that it imports."""
    path = module(tmp_path)
    told = f"there is no module 'svn' in {path} (did you mean svm?)"
    assert refusal(path, "svn:main") == told
    module(tmp_path, "needy", "\nimport sklearm_\n")
    told = "ModuleNotFoundError: No module named 'sklearm_'"
    assert (
        refusal(path, "needy:main") == f"can't import 'needy' from {path}: {told} "
        f"({path}/needy.py, line 2)"
    )


def test_a_module_that_fails_tells_its_place(tmp_path):
    """A syntax error, an exception and an exit at import name file and line."""
    texts = {
        "syntax": ("x = 1\ny = (\n", "SyntaxError: '(' was never closed", 2),
        "zero": ("def f():\n    1 / 0\nf()\n", "ZeroDivisionError: division by zero", 2),
        "leaver": ("import sys\nsys.exit(4)\n", "SystemExit: 4", 2),
    }
    for name, (text, error, line) in texts.items():
        path = module(tmp_path, name, text)
        place = f"({path}/{name}.py, line {line})"
        told = f"can't import {name!r} from {path}: {error} {place}"
        assert refusal(path, f"{name}:main") == told


def test_a_missing_or_wrong_attribute_is_told(tmp_path):
    """The nearest name is offered; what isn't callable is no function."""
    path = module(tmp_path, text="train = 3\ndef main():\n    pass\n")
    told = f"svm has no 'mian' (did you mean main?) ({path}/svm.py)"
    assert refusal(path, "svm:mian") == told
    assert refusal(path, "svm:train") == "svm:train is a int, not a function"


@pytest.mark.parametrize(
    ("names", "kwargs", "trial_arg"),
    [
        (["C", "gamma"], {}, None),
        (["C"], {"gamma": 1}, None),
        (["C", "gamma"], {"tol": 1}, "trial"),
    ],
)
def test_a_function_that_takes_all_is_accepted(names, kwargs, trial_arg):
    """Defaults needn't be given; the space, kwargs and trial_arg may each give an argument."""

    def main(C, gamma, tol=1, *, trial=None):  # noqa: N803
        pass

    check_signature(main, names, kwargs, trial_arg)
    check_signature(lambda **anything: None, names, kwargs, trial_arg)


def test_a_function_that_does_not_take_them_is_told():
    """Which argument, where it comes from, and what was probably meant."""

    def main(C, gamma, tol=1):  # noqa: N803
        pass

    def told(function, *arguments):
        with pytest.raises(ConfigurationError) as caught:
            check_signature(function, *arguments)
        return caught.value.message.partition("<locals>.")[2]

    assert (
        told(main, ["C", "gama"], {}, None)
        == "main takes no argument 'gama', which the space gives (did you mean gamma?)"
    )
    assert (
        told(main, ["C", "gamma"], {"extra": 1}, None)
        == "main takes no argument 'extra', which kwargs gives"
    )
    assert (
        told(main, ["C", "gamma"], {}, "trial")
        == "main takes no argument 'trial', which trial_arg gives"
    )
    assert (
        told(main, ["C"], {}, None)
        == "main needs an argument 'gamma', which neither the space nor kwargs gives"
    )

    def positional(C, /):  # noqa: N803
        pass

    assert told(positional, [], {}, None) == "positional takes 'C' by position only"


def test_a_function_that_tells_nothing_is_accepted():
    """Some written in C have no signature."""
    check_signature(dict.__class__, ["x"], {}, None)


def test_a_call_gives_parameters_constants_and_the_trial(tmp_path):
    """All three arrive by name, and what the function changes isn't seen by the next trial."""
    path = module(
        tmp_path,
        text="def main(optimizer, layers, t):\n"
        "    seen = (dict(optimizer), list(layers), t.params, t.number)\n"
        "    optimizer.clear()\n    layers.clear()\n    return seen\n",
    )
    target = FunctionTarget(path, "svm:main", {"layers": [1]}, "t")
    made = task(target, tmp_path, {"optimizer": {"lr": 0.1}})
    for _ in range(2):
        seen = call_function(target, made)
        assert seen == ({"lr": 0.1}, [1], {"optimizer": {"lr": 0.1}}, 7)


def test_the_trial_creates_its_directory_when_asked(tmp_path):
    """A trial that needs no directory touches none."""
    made = task(FunctionTarget(str(tmp_path), "svm:main", {}), tmp_path, {"C": 1}, attempt=2)
    trial = TrialHandle(made)
    assert (trial.id, trial.number, trial.attempt, trial.resumed) == ("ab" * 16, 7, 2, True)
    assert trial.params == {"C": 1}
    assert trial.stop_requested is False
    assert repr(trial) == "<trial 7 of 'svm', attempt 2>"
    assert not (tmp_path / "trials").exists()
    assert trial.working_dir == str(tmp_path / "trials" / "7")
    assert (tmp_path / "trials" / "7").is_dir()
    assert trial.working_dir
