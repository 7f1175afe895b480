"""Commands: placeholders, environment, where the result is found, the log, and every bad end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orion_hpc.errors import ConfigurationError, InvalidResult
from orion_hpc.model.trial_record import KILLED, OUT_OF_MEMORY, USER_ERROR, hash_of
from orion_hpc.worker import script
from orion_hpc.worker.attempt import run_task
from orion_hpc.worker.failure import CommandFailed
from orion_hpc.worker.placeholders import fill
from orion_hpc.worker.script import check_placeholders, run_command
from orion_hpc.worker.task import CommandTarget, TrialTask

PARAMS = {"lr": 0.1, "optimizer": {"name": "sgd"}}
FLAT = {"lr": 0.1, "optimizer.name": "sgd"}


def task(folder, *argv, attempt=1):
    return TrialTask(
        target=CommandTarget(argv, str(folder)),
        number=7,
        id="ab" * 16,
        attempt=attempt,
        params=PARAMS,
        flat_params=FLAT,
        working_dir=str(folder / "trials" / "7"),
        experiment="svm",
    )


def run(folder, *argv, attempt=1):
    made = task(folder, *argv, attempt=attempt)
    return run_command(made.target, made)


def python(folder, text, **options):
    return run(folder, sys.executable, "-c", text.replace("{", "{{").replace("}", "}}"), **options)


def log(folder):
    return (folder / "trials" / "7" / "log.txt").read_text()


def test_placeholders_are_filled_without_a_shell():
    """Each word stays one word, braces can be written, and values are text."""
    values = FLAT | {"trial.id": "ab", "flag": None, "shape": [1, 2.5]}
    words = ["--lr={lr}", "{optimizer.name}; rm -rf $HOME", "{{{trial.id}}}", "{flag}", "{ shape }"]
    assert fill(words, values) == [
        "--lr=0.1",
        "sgd; rm -rf $HOME",
        "{ab}",
        "None",
        "[1, 2.5]",
    ]


def test_a_value_is_not_looked_into():
    """A hyperparameter's text that looks like a placeholder stays text."""
    assert fill(["{a}"], {"a": "{b}", "b": "secret"}) == ["{b}"]


def test_unused_hyperparameters_are_reported_and_allowed():
    """A program may read them from its environment."""
    assert check_placeholders(["train", "{lr}", "{trial.number}"], list(FLAT)) == ["optimizer.name"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (
            ["train", "{optimizer}"],
            "the command has an unknown placeholder {optimizer} (did you mean ",
        ),
        (["train", "{trial.numbr}"], "the command has an unknown placeholder {trial.numbr} (did "),
        (["train", "{lr.__class__}"], "the command has an unknown placeholder {lr.__class__}"),
        (["train", "{}"], "the command has an unknown placeholder {}"),
        (["train", '{"a": 1'], "the command has a single '{' in '{\"a\": 1'"),
        (["train", "}"], "the command has a single '}' in '}'"),
        ([], "the command is empty"),
        ([" "], "the command is empty"),
    ],
)
def test_a_wrong_placeholder_is_found_at_submit(argv, told):
    """What can't be filled is told before a job starts."""
    with pytest.raises(ConfigurationError) as caught:
        check_placeholders(argv, list(FLAT))
    assert caught.value.message.startswith(told)


def test_the_result_is_read_from_the_file(tmp_path):
    """JSON at the results path wins over what is printed."""
    text = (
        "import json, os\n"
        "with open(os.environ['ORION_HPC_RESULTS_PATH'], 'w') as file:\n"
        "    json.dump([{'name': 'a', 'type': 'objective', 'value': 1}], file)\n"
        "print(5)\n"
    )
    assert python(tmp_path, text) == [{"name": "a", "type": "objective", "value": 1}]


@pytest.mark.parametrize(
    ("printed", "value"),
    [("5", 5), ("starts\n1e-3\n\n", 0.001), (".5", 0.5), ('[{"a": 1}]', [{"a": 1}])],
)
def test_the_result_is_the_last_line(tmp_path, printed, value):
    """Without a file, the last line that isn't empty is a number or JSON; stderr isn't read."""
    text = f"import sys\nprint({printed!r})\nprint('noise', file=sys.stderr)"
    assert python(tmp_path, text) == value


def test_a_script_may_name_several_objectives(tmp_path):
    """In the form of a function's list, in the file or as the last line."""
    results = [
        {"name": "loss", "type": "objective", "value": 0.5},
        {"name": "seconds", "type": "objective", "value": 3.0},
        {"name": "memory", "type": "constraint", "value": -1.0},
    ]
    (tmp_path / "told.json").write_text(json.dumps(results))
    for command in ("cat told.json", 'cp told.json "$ORION_HPC_RESULTS_PATH"'):
        outcome = run_task(task(tmp_path, "sh", "-c", command))
        assert (outcome.status, outcome.results) == ("completed", results)


def test_the_environment_tells_the_trial(tmp_path, monkeypatch):
    """A script needs no placeholder: all is in its environment, and it runs beside its file."""
    for name in [name for name in os.environ if name.startswith("ORION_HPC_")]:
        monkeypatch.delenv(name)
    text = (
        "import json, os\n"
        "told = {k: v for k, v in os.environ.items() if k.startswith('ORION_HPC_')}\n"
        "print(json.dumps([told, os.getcwd()]))"
    )
    told, folder = python(tmp_path, text, attempt=2)
    working_dir = str(tmp_path / "trials" / "7")
    assert folder == str(tmp_path)
    assert told == {
        "ORION_HPC_EXPERIMENT": "svm",
        "ORION_HPC_TRIAL_ID": "ab" * 16,
        "ORION_HPC_TRIAL_NUMBER": "7",
        "ORION_HPC_ATTEMPT": "2",
        "ORION_HPC_PARENT": "",
        "ORION_HPC_WORKING_DIR": working_dir,
        "ORION_HPC_RESULTS_PATH": f"{working_dir}/results.json",
        "ORION_HPC_PARAMS": '{"lr": 0.1, "optimizer": {"name": "sgd"}}',
    }


def test_the_environment_has_orions_names(tmp_path):
    """A script that reads Oríon's variables, or reports by its client, needs no change."""
    text = (
        "import json, os\n"
        "found = {k: v for k, v in os.environ.items() if k.startswith('ORION_')}\n"
        "print(json.dumps([{k: v for k, v in found.items() if '_HPC_' not in k}]))"
    )
    working_dir = str(tmp_path / "trials" / "7")
    assert python(tmp_path, text) == [
        {
            "ORION_EXPERIMENT_NAME": "svm",
            "ORION_EXPERIMENT_VERSION": "1",
            "ORION_TRIAL_ID": "ab" * 16,
            "ORION_WORKING_DIR": working_dir,
            "ORION_RESULTS_PATH": f"{working_dir}/results.json",
        }
    ]


def test_the_placeholders_have_orions_names(tmp_path):
    """Of the trial and of its experiment; the fidelity doesn't count for ``hash_params``."""
    words = ["{trial.id}", "{trial.number}", "{trial.hash_params}", "{trial.working_dir}"]
    words += ["{exp.name}", "{exp.version}", "{exp.working_dir}"]
    command = (sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words)
    seen = []
    for epochs in (1, 9):
        made = task(tmp_path, *command)
        flat = FLAT | {"epochs": epochs}
        made = replace(made, flat_params=flat, fidelity="epochs", version=3)
        assert check_placeholders(command, list(flat)) == list(flat)
        seen.append(run_command(made.target, made))
    folder = str(tmp_path / "trials")
    assert seen[0] == seen[1]
    assert seen[0] == ["ab" * 16, "7", hash_of(FLAT), f"{folder}/7", "svm", "3", folder]
    assert os.path.isdir(folder)


def test_an_earlier_attempts_result_is_not_taken(tmp_path):
    """A results file that was there before the attempt is removed."""
    folder = tmp_path / "trials" / "7"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text("1")
    assert python(tmp_path, "print(2)") == 2


def test_all_output_goes_to_the_log(tmp_path):
    """Each attempt is added with a header; standard output and error are both there."""
    for attempt in (1, 2):
        run(tmp_path, "sh", "-c", "echo 1; echo noise >&2", attempt=attempt)
    lines = log(tmp_path).splitlines()
    assert [line.rpartition(",")[0] for line in lines if line.startswith("===")] == [
        "=== trial 7, attempt 1",
        "=== trial 7, attempt 2",
    ]
    assert sorted(lines[1:3]) == ["1", "noise"]


def test_output_is_written_as_it_comes(tmp_path):
    """Who follows the log sees a line while the command runs."""
    text = (
        "import time, os\nprint('here', flush=True)\nwhile not os.path.exists('go'): pass\nprint(1)"
    )
    results = []
    thread = threading.Thread(target=lambda: results.append(python(tmp_path, text)))
    thread.start()
    end = time.monotonic() + 30
    path = tmp_path / "trials" / "7" / "log.txt"
    while not (path.exists() and "here" in path.read_text()):
        assert time.monotonic() < end
        time.sleep(0.005)
    assert not results
    (tmp_path / "go").touch()
    thread.join(30)
    assert results == [1]


def test_much_output_is_not_kept_in_memory(tmp_path, monkeypatch):
    """Only the end of standard output is kept, and it is enough."""
    monkeypatch.setattr(script, "_LONGEST_LINE", 1000)
    text = "for number in range(20_000): print('x' * 100)\nprint(3)"
    assert python(tmp_path, text) == 3
    assert len(log(tmp_path)) > 2_000_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pass", "the command wrote no results.json and printed nothing"),
        (
            "print('accuracy: 3')",
            "the command wrote no results.json, and its last line is no number and no JSON: "
            "'accuracy: 3'",
        ),
        ("open(path, 'w').write('{')", "the command's results.json isn't JSON: Expecting"),
        ("open(path, 'w').write('[' * 99999)", "the command's results.json isn't JSON: "),
        (
            "open(path, 'w').write(' ' * 10_000_001)",
            "the command's results.json has more than 10 MB",
        ),
        ("os.mkfifo(path)", "the command's results.json isn't a plain file"),
    ],
)
def test_a_result_that_cannot_be_read_is_told(tmp_path, text, told):
    """No result, no JSON, too much of it, and a trap are each told as what they are."""
    with pytest.raises(InvalidResult) as caught:
        python(tmp_path, f"import os; path = os.environ['ORION_HPC_RESULTS_PATH']\n{text}")
    assert caught.value.message.startswith(told)


def test_nan_is_told_by_the_check_of_results(tmp_path):
    """JSON's extension NaN is read, and refused as what it is."""
    outcome = run_task(task(tmp_path, "sh", "-c", "echo NaN"))
    assert (outcome.status, outcome.message) == ("broken", "the objective 'objective' is nan")


@pytest.mark.parametrize(
    ("text", "message", "cause"),
    [
        ("echo no luck >&2; exit 3", "the command exited with code 3: no luck", USER_ERROR),
        ("exit 3", "the command exited with code 3", USER_ERROR),
        ("exit 129", "the command exited with code 129 (128 + SIGHUP)", USER_ERROR),
        ("kill -SEGV $$", "the command was killed by SIGSEGV", KILLED),
        ("exit 137", "the command exited with code 137 (128 + SIGKILL)", USER_ERROR),
    ],
)
def test_a_bad_end_is_told_with_the_last_output(tmp_path, text, message, cause):
    """Exit code or signal, and the last line; the end of the output is in the detail."""
    with pytest.raises(CommandFailed) as caught:
        run(tmp_path, "sh", "-c", text)
    assert (caught.value.message, caught.value.cause) == (message, cause)
    assert caught.value.output == ("no luck\n" if "luck" in message else "")


def test_a_bad_end_quotes_this_attempt_only(tmp_path):
    """An earlier attempt's words aren't blamed, and the quotation is bounded."""
    python(tmp_path, "print('early'); print(1)")
    with pytest.raises(CommandFailed) as caught:
        python(tmp_path, "print('x' * 100_000); raise SystemExit(1)", attempt=2)
    assert set(caught.value.output.strip()) == {"x"}
    assert len(caught.value.output) <= 4_000


def test_a_kill_for_want_of_memory_is_told(tmp_path, monkeypatch):
    """SIGKILL while the kernel's count rose is out of memory, also through a shell."""
    counts = iter([1, 2, 2, 3])
    monkeypatch.setattr(script, "oom_kills", lambda: next(counts))
    for text in ("kill -KILL $$", "exit 137"):
        with pytest.raises(CommandFailed) as caught:
            run(tmp_path, "sh", "-c", text)
        assert caught.value.cause == OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("no-such-program", "there is no program 'no-such-program' (searched in "),
        ("./plain.txt", "the program './plain.txt' isn't executable"),
        ("a\0b", "the program 'a\\x00b' can't be started: "),
    ],
)
def test_a_program_that_cannot_start_is_told(tmp_path, program, told):
    """A misspelt program, a file without its permission, and nonsense."""
    (tmp_path / "plain.txt").write_text("text")
    with pytest.raises(CommandFailed) as caught:
        run(tmp_path, program)
    assert caught.value.message.startswith(told)


def test_a_missing_directory_is_not_blamed_on_the_program(tmp_path):
    """The config's directory may not be on the compute node."""
    made = task(tmp_path, "true")
    with pytest.raises(CommandFailed, match="directory /no/such/place isn't there"):
        run_command(CommandTarget(("true",), "/no/such/place"), made)


def test_what_a_command_leaves_in_the_background_is_ended(tmp_path):
    """A forgotten server holds up neither the trial nor the CPUs, though it has the output open."""
    assert run(tmp_path, "sh", "-c", "sleep 1000 & echo $! > pid; echo 4") == 4
    assert ended(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals come to the main one"
)
def test_an_interruption_ends_the_command_with_its_children(tmp_path):
    """Ctrl-C in the executor 'single' leaves no process, also none that ignores SIGTERM."""
    text = "trap '' TERM; sleep 1000 & echo $! > child; echo $$ > pid; wait; wait"
    path = tmp_path / "pid"

    def interrupt():
        while not (path.exists() and path.read_text()):
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    # A shell that starts the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        outcome = run_task(task(tmp_path, "sh", "-c", text))
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (outcome.status, outcome.cause) == ("interrupted", "cancelled")
    assert all(ended(int((tmp_path / name).read_text())) for name in ("pid", "child"))


def test_a_command_dies_with_its_worker(tmp_path):
    """SIGKILL of the process that runs it ends the command too."""
    text = (
        "import sys\n"
        "from orion_hpc.worker.attempt import run_task\n"
        "from orion_hpc.worker.task import CommandTarget, TrialTask\n"
        "argv = ('sh', '-c', 'echo $$ > pid; exec sleep 1000')\n"
        "run_task(TrialTask(CommandTarget(argv, sys.argv[1]), 0, '', 1, {}, {}, sys.argv[1], ''))\n"
    )
    path = tmp_path / "pid"
    with psutil.Popen([sys.executable, "-c", text, str(tmp_path)]) as worker:
        end = time.monotonic() + 30
        while not (path.exists() and path.read_text()):
            assert time.monotonic() < end
            time.sleep(0.005)
        worker.kill()
    assert ended(int(path.read_text()))


def test_an_interruption_while_the_command_starts_ends_it(tmp_path, monkeypatch):
    """The process is there, and nobody has its number yet."""
    real, pids = subprocess.Popen, []

    class Interrupted(real):
        def __init__(self, *words, **options):
            super().__init__(*words, **options)
            pids.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = run_task(task(tmp_path, "sleep", "1000"))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert (outcome.status, outcome.cause) == ("interrupted", "cancelled")
    assert len(pids) == 1
    assert ended(pids[0])


def ended(number, seconds=5):
    end = time.monotonic() + seconds
    while Path(f"/proc/{number}").exists():
        if psutil.Process(number).status() == psutil.STATUS_ZOMBIE:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def test_a_command_that_exits_with_130_is_interrupted(tmp_path):
    """As in Oríon; a shell whose program died of SIGINT does so, too."""
    outcome = run_task(task(tmp_path, "sh", "-c", "exit 130"))
    assert (outcome.status, outcome.cause) == ("interrupted", "cancelled")
    assert outcome.message == "the trial interrupted itself: its command exited with code 130"
