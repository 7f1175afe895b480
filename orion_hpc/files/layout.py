"""Where an experiment's files lie: all of them in one folder beside the database.

::

    db.pkl                        the database
    db.pkl.lock                   its lock
    db.pkl.files/NAME-vVERSION/   one folder for each experiment, with
        workers/                  a sign of life for each worker
        jobs/                     what launchers leave: scripts, logs
        trials/NUMBER/            a trial's working directory, once it is used
"""

from __future__ import annotations

import os


def experiment_folder(database: str, title: str) -> str:
    """Return the folder of the experiment called ``title`` (``NAME-vVERSION``)."""
    return os.path.join(f"{os.path.abspath(database)}.files", title)


def workers_folder(database: str, title: str) -> str:
    """Return where the workers' signs of life lie."""
    return os.path.join(experiment_folder(database, title), "workers")


def jobs_folder(database: str, title: str) -> str:
    """Return where launchers put scripts and logs."""
    return os.path.join(experiment_folder(database, title), "jobs")


def trial_folder(database: str, title: str, working_dir: str | None, number: int) -> str:
    """Return a trial's working directory, under ``working_dir`` if the experiment names one."""
    root = (
        os.path.join(working_dir, title)
        if working_dir
        else os.path.join(experiment_folder(database, title), "trials")
    )
    return os.path.join(root, str(number))
