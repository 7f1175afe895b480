"""The command ``orion-hpc``: its subcommands, and its messages and exit codes for errors."""

from __future__ import annotations

import errno
import io
import os
import sys

import click

from orion_hpc import __version__
from orion_hpc.cli.best import best
from orion_hpc.cli.cancel import cancel
from orion_hpc.cli.clean import clean
from orion_hpc.cli.compare import compare
from orion_hpc.cli.config import config
from orion_hpc.cli.db import db
from orion_hpc.cli.doctor import doctor
from orion_hpc.cli.info import info
from orion_hpc.cli.insert import insert
from orion_hpc.cli.list_ import list_
from orion_hpc.cli.logs import logs
from orion_hpc.cli.plot import plot
from orion_hpc.cli.report import report
from orion_hpc.cli.resume import resume
from orion_hpc.cli.show import show
from orion_hpc.cli.status import status
from orion_hpc.cli.submit import submit
from orion_hpc.cli.template import template
from orion_hpc.cli.terminal import Terminal
from orion_hpc.cli.trials import trials
from orion_hpc.cli.worker import worker
from orion_hpc.errors import OrionHpcError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="orion-hpc")
@click.pass_context
def cli(context: click.Context) -> None:
    """Hyperparameter search on Slurm with nothing but a shared file system.

    \b
    orion-hpc submit --array 10 --cpus-per-task 5 config.yaml
    orion-hpc status config.yaml --watch
    orion-hpc best config.yaml
    """
    context.ensure_object(Terminal)


cli.add_command(submit)
cli.add_command(resume)
cli.add_command(insert)
cli.add_command(cancel)
cli.add_command(status)
cli.add_command(list_)
cli.add_command(info)
cli.add_command(best)
cli.add_command(trials)
cli.add_command(show)
cli.add_command(compare)
cli.add_command(plot)
cli.add_command(report)
cli.add_command(logs)
cli.add_command(worker)
cli.add_command(clean)
cli.add_command(template)
cli.add_command(config)
cli.add_command(doctor)
cli.add_command(db)


def main() -> None:
    """Run the command line and exit: 0 success, 1 failure, 2 wrong input, 130 Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name or a parameter may have characters that the user's locale can't encode.
        sys.stdout.reconfigure(errors="backslashreplace")
    terminal = Terminal()
    try:
        cli.main(standalone_mode=False, obj=terminal)
    except OrionHpcError as error:
        terminal.error(error)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        if hint := _sbatch_hint(error):
            Terminal().note(hint)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        terminal.note("Interrupted.")
        sys.exit(130)
    except OSError as error:
        if error.errno not in _OUTPUT_ERRORS or error.filename is not None:
            raise
        # The buffered output can't be written: its reader has gone ("| head"), or the disk is full;
        # only the latter is reported.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:
            terminal.note(f"Error: can't write the answer to standard output: {error.strerror}")
            terminal.note("Redirect it to another file.")
        sys.exit(1)


def _sbatch_hint(error: click.ClickException) -> str:
    """Return what to write if an unknown option may be one of sbatch, or ``""``."""
    if not isinstance(error, click.NoSuchOption) or error.possibilities or error.ctx is None:
        return ""
    takes = any(one.name == "sbatch_options" for one in error.ctx.command.params)
    if not takes or not error.option_name.startswith("--"):
        return ""
    return f"If it is an option of sbatch, write it at the end: -- {error.option_name}=…"


_OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Errors of standard output; those of storage are :class:`~orion_hpc.errors.StorageError`."""
