"""What of an experiment's files is litter, by names and facts alone."""

from __future__ import annotations

import pytest

from orion_hpc.maintenance import litter
from orion_hpc.maintenance.litter import DAY, JOBS, LOGS, Use
from orion_hpc.sharedfs.layout import JOB_SPEC, LAUNCHER

GONE, ALIVE = "h:1:abcdef.9:12_3.0", "h:2:abcdef.9:15_1.0"
LOCAL = "h:3:abcdef.9:local-77"
USE = Use({ALIVE, LOCAL}, over={"12"}, unknown={"13"})
SLURM, HERE = "slurm-20260101-101010-5-0123abcd", "local-20260101-101010-5-0123abcd"


@pytest.mark.parametrize(
    ("name", "age", "use", "expected"),
    [
        (GONE, 0, USE, True),
        (f"{GONE}.new", 0, USE, True),
        (ALIVE, 9 * DAY, USE, False),
        (".turn", 2 * DAY, USE, True),
        (".turn", 60, USE, False),
        (".turn", 60, Use(), True),
        (".suspended", 60, USE, False),
        (".suspended", 60, Use(), True),
        (".suspended.0a0b0c0d0e0f.new", 60, USE, False),
        (".suspended.0a0b0c0d0e0f.new", 2 * DAY, USE, True),
        (".now-7-0a0b0c0d", 2 * DAY, USE, True),
        (".now-7-0a0b0c0d", 60, Use(), False),
        ("notes.txt", 9 * DAY, Use(), False),
        (".now-and-then", 9 * DAY, Use(), False),
    ],
)
def test_signs_of_life(name, age, use, expected):
    assert litter.is_sign_litter(name, age, use) == expected


def names(*given: str, age: float = 0.0) -> dict[str, float]:
    return dict.fromkeys(given, age)


def test_the_files_of_an_array_that_is_over():
    found = names("12_0_submitted.pkl", "12_0_0_result.pkl", "12_0_0_result.pkl.save_tmp",
                  "12_submission.sh", "12_0_0_log.out", "12_3.out", "12_3.err", "plot.png",
                  "12_data.pkl")  # fmt: skip
    assert litter.launch_litter(SLURM, found, USE, False) == {
        "12_0_submitted.pkl": JOBS, "12_0_0_result.pkl": JOBS, "12_0_0_result.pkl.save_tmp": JOBS,
        "12_submission.sh": JOBS, "12_0_0_log.out": LOGS, "12_3.out": LOGS, "12_3.err": LOGS,
    }  # fmt: skip
    assert litter.launch_litter("mine", found, USE, False) == {}
    assert litter.slurm_jobs(SLURM, found) == {"12"}
    assert litter.slurm_jobs(HERE, found) == litter.slurm_jobs("mine", found) == set()


@pytest.mark.parametrize(
    ("files", "use"),
    [
        (names("15_0_submitted.pkl"), USE),  # it waits
        (names("12_0_submitted.pkl"), Use()),  # Slurm doesn't say
        (names("12_0_submitted.pkl"), Use({GONE}, over={"12"})),  # its worker may live
        (names("13_0_submitted.pkl", age=DAY / 2), USE),  # another cluster's, perhaps
        (names("0a" * 16 + ".pkl"), USE),  # it is being submitted
    ],
)
def test_of_arrays_what_may_be_used_stays(files, use):
    assert litter.launch_litter(SLURM, files, use, False) == {}


def test_of_an_array_in_parts_each_goes_by_itself():
    """The second is being submitted, or runs, while the first is over."""
    found = names("12_0_submitted.pkl", "15_0_submitted.pkl", "0a" * 16 + ".pkl")
    assert litter.launch_litter(SLURM, found, USE, False) == {"12_0_submitted.pkl": JOBS}


def test_a_job_that_slurm_has_forgotten():
    """It is over, if it isn't another cluster's: which doesn't matter once nothing is to be run."""
    old, new = names("13_0_submitted.pkl", age=2 * DAY), names("13_0_submitted.pkl")
    assert litter.launch_litter(SLURM, old, USE, False)
    assert litter.launch_litter(SLURM, new, Use(unknown={"13"}, is_done=True), False)


def test_a_submission_that_came_to_nothing():
    found = names("0a" * 16 + ".pkl", ".submission_file_" + "0a" * 16 + ".sh", age=2 * DAY)
    assert set(litter.launch_litter(SLURM, found, USE, False)) == set(found)
    assert litter.is_left_launch(SLURM, 2 * DAY)
    assert not litter.is_left_launch(SLURM, 60)
    assert not litter.is_left_launch("mine", 2 * DAY)


@pytest.mark.parametrize(
    ("files", "gone", "expected"),
    [
        (names("78_submitted.pkl", LAUNCHER), True, {"78_submitted.pkl": JOBS, LAUNCHER: JOBS}),
        (names("78_submitted.pkl", LAUNCHER), False, {}),  # it has just started, on another host
        (names("78_submitted.pkl"), False, {}),
        (names("77_submitted.pkl", LAUNCHER), True, {}),  # its worker has outlived the command
        (names("78_result.pkl", "77_0_log.out", LAUNCHER), True, {"78_result.pkl": JOBS}),
        (names("78_0_log.out"), False, {"78_0_log.out": LOGS}),  # the command left in good order
        (names("78_0_log.out", LAUNCHER), False, {}),
        (names("78_0_log.out", LAUNCHER, age=2 * DAY), False,
         {"78_0_log.out": LOGS, LAUNCHER: JOBS}),
    ],
)  # fmt: skip
def test_processes_of_this_machine(files, gone, expected):
    assert litter.launch_litter(HERE, files, USE, gone) == expected


@pytest.mark.parametrize(
    ("name", "age", "use", "expected"),
    [
        (".over-12", 0, USE, True),
        (".over-15", 9 * DAY, USE, False),
        (".function-x_3k9a", 2 * DAY, USE, True),
        (".function-x_3k9a", 60, Use(is_done=True), False),
        ("function-0123456789abcdef.pkl", 0, Use(is_done=True), True),
        ("function-0123456789abcdef.pkl", 9 * DAY, Use(), False),
        ("function-0123456789abcdef.pkl", 9 * DAY, Use({ALIVE}, is_done=True), False),
        ("function-0123456789abcdef.pkl", 9 * DAY, Use(is_done=True, may_begin=True), False),
        ("mine.pkl", 9 * DAY, Use(is_done=True), False),
    ],
)
def test_marks_of_jobs_and_functions(name, age, use, expected):
    assert litter.is_beside_litter(name, age, use) == expected


def test_copies_and_trials():
    assert litter.is_code_litter(".new-7-00ff00ff", 2 * DAY)
    assert not litter.is_code_litter(".new-7-00ff00ff", 60)
    assert not litter.is_code_litter("0123456789abcdef", 9 * DAY)
    assert litter.is_copy_litter("db.pkl.0a1b2c3d4e5f.new", "db.pkl", 2 * DAY)
    assert not litter.is_copy_litter("db.pkl.0a1b2c3d4e5f.new", "db.pkl", 60)
    assert not litter.is_copy_litter("dbxpkl.0a1b2c3d4e5f.new", "db.pkl", 2 * DAY)
    statuses = {0: "completed", 1: "broken", 2: "interrupted", 3: "reserved", 4: "new",
                5: "suspended"}  # fmt: skip
    found = [name for name in (*map(str, range(7)), "x") if litter.is_trial_litter(name, statuses)]
    assert found == ["0", "1"]
    assert litter.has_kept(["log.txt", "unrecorded-2.json"])
    assert not litter.has_kept(["log.txt", "unrecorded.json"])


OVER = Use(over={"12"}, is_done=True)


@pytest.mark.parametrize(
    ("launch", "files", "use", "gone", "goes"),
    [
        (SLURM, names("12_0.out", JOB_SPEC), OVER, False, True),
        (SLURM, names(JOB_SPEC), OVER, False, False),  # it is being submitted
        (SLURM, names(JOB_SPEC, age=2 * DAY), OVER, False, True),
        (SLURM, names(JOB_SPEC, age=2 * DAY), Use(may_begin=True), False, False),  # it waits
        (SLURM, names("12_0.out", JOB_SPEC), Use(over={"12"}), False, False),  # one may come back
        (SLURM, names("12_0.out", "15_0.out", JOB_SPEC, age=2 * DAY), OVER, False, False),
        (SLURM, names("12_0.out", JOB_SPEC), Use({GONE}, {"12"}, is_done=True), False, False),
        (HERE, names("78_submitted.pkl", LAUNCHER, JOB_SPEC), Use(), True, True),
        (HERE, names("78_submitted.pkl", LAUNCHER, JOB_SPEC), Use(), False, False),
        (HERE, names(JOB_SPEC), Use(), False, False),  # it is being started
        (HERE, names(JOB_SPEC, age=2 * DAY), Use(), False, True),
        ("mine", names(JOB_SPEC, age=2 * DAY), OVER, True, False),
    ],
)
def test_the_jobs_settings_stay_while_a_job_may_start(launch, files, use, gone, goes):
    """For the first time or, requeued, once more."""
    assert (litter.launch_litter(launch, files, use, gone).get(JOB_SPEC) == JOBS) == goes


def test_settings_that_were_never_written_to_the_end():
    found = names(f"{JOB_SPEC}.{'0a' * 6}.new", age=2 * DAY)
    assert set(litter.launch_litter(SLURM, found, USE, False)) == set(found)
