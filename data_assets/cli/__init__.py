"""The `data-assets` command.

Here: the executable, and what every command promises: exit 0 when all that was asked for holds, 1 when some day does
not (or the run history's disk is full), 2 for a wrong call or setting, said in one line. Not here: the arguments of the
commands (`commands`), and what each of them does (a module of its name).
"""

from __future__ import annotations

import gc
import signal
import sys

import click

from data_assets.allocators import give_back_early
from data_assets.cli.commands import cli
from data_assets.cli.line_breaks import say
from data_assets.cli.starting import end_loading
from data_assets.ingest.stop_request import keep_interrupts
from data_assets.project import SettingsError


def main() -> None:
    """Run the command; a wrong call or setting ends it with one line."""
    keep_interrupts(signal.SIGINT)  # before anything is loaded
    give_back_early()
    # Imports make hundreds of thousands of objects and no garbage: collecting among them is a third of a short command.
    gc.disable()
    gc.set_threshold(50_000)
    from data_assets.ingest.state_folder import StateUnusable
    from data_assets.lake.errors import LakeError, one_line

    try:
        try:
            sys.exit(cli(standalone_mode=False))
        finally:
            end_loading()  # before a word of how it ended
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except (click.ClickException, SettingsError, LakeError) as error:
        # Click itself would print the usage and a hint at --help above it.
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        say(f"Error: {one_line(text)}", err=True)
        sys.exit(2)
    except StateUnusable as error:  # nothing is wrong with the call
        say(f"Error: {error}", err=True)
        sys.exit(1)
    except click.Abort:  # Ctrl-C where nothing was at work
        sys.exit(1)
    finally:
        gc.freeze()  # the interpreter's last collections would go through all of Dagster, a fifth of a short command
