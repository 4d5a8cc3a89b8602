"""The `data-assets` command.

Here: the group of commands, the option that all but `init` take, and what every one of them promises: exit 0 when all
that was asked for holds, 1 when some day does not (or the run history's disk is full), 2 for a wrong call or setting,
said in one line. Not here: any command (one module each).
"""

from __future__ import annotations

import difflib
import gc
import importlib
import os
import signal
import sys
from pathlib import Path

import click

from data_assets.ingest.stop_request import keep_interrupts
from data_assets.project import PROJECT, SettingsError

COMMANDS = {
    "init": "Write a new project into a folder.",
    "backfill": "Download the days that are missing or failed.",
    "retry": "Ask again for the days that failed last.",
    "list": "List the datasets, or with --failed what failed.",
    "gaps": "List the days that are missing or failed.",
    "status": "Show how complete and how healthy each dataset is.",
    "import": "Take in days from files of an older downloader.",
    "verify": "Read stored files again and find damage.",
    "repair": "Find damage, and fetch exactly what is damaged.",
    "reconcile": "Record days from their files, as after a lost history.",
    "accept-hole": "Accept that the vendor will never have a day.",
    "doctor": "Look for what would keep days from being stored.",
    "sandbox": "Serve the simulated vendors on their usual ports.",
    "demo": "Fill a synthetic lake with some days and open the UI.",
}

MODULES = {"import": "import_files", "list": "list_datasets"}
"""Where a command's name is no name in Python: that of its module and function."""


def _project_option() -> click.Option:
    """`--project`, before the command or after it; the processes that the command starts are told too."""
    return click.Option(
        ["--project"],
        type=click.Path(),
        expose_value=False,
        callback=_name_the_project,
        help="Folder of the project; default: the nearest one upwards from here.",
    )


def _name_the_project(_ctx: click.Context, _option: click.Parameter, folder: str | None) -> None:
    if folder is not None:
        os.environ[PROJECT] = str(Path(folder).expanduser().absolute())


class _Lazy(click.Group):
    """Loads a command's module when it is used, so that `--help` does not wait for Dagster."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Modules ask for the project while they are imported, so it is named before the command's own module is.
        anything = {"ignore_unknown_options": True, "allow_extra_args": True}
        click.Command(None, anything, params=[_project_option()], add_help_option=False).make_context(None, args[1:])
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1, cutoff=0.0)
            ctx.fail(f"there is no command {cmd_name!r}; the nearest is {near[0]}")
        name = MODULES.get(cmd_name, cmd_name.replace("-", "_"))
        command: click.Command = getattr(importlib.import_module(f"data_assets.cli.{name}"), name)
        gc.freeze()  # what is loaded stays, so no later collection has to go through it
        gc.enable()
        if name != "init" and "project" not in {parameter.name for parameter in command.params}:
            command.params.append(_project_option())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, params=[_project_option()], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="data-assets", message="data-assets %(version)s")
def cli() -> None:
    """Years of market data on your own disk: one Dagster asset per dataset, one partition per trading day."""


def main() -> None:
    """Run the command; a wrong call or setting ends it with one line."""
    keep_interrupts(signal.SIGINT)  # before anything is loaded
    # Imports make hundreds of thousands of objects and no garbage: collecting among them is a third of a short command.
    gc.disable()
    gc.set_threshold(50_000)
    from data_assets.ingest.state_folder import StateUnusable
    from data_assets.lake.errors import LakeError, one_line

    try:
        sys.exit(cli(standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except (click.ClickException, SettingsError, LakeError) as error:
        # Click itself would print the usage and a hint at --help above it.
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"Error: {one_line(text)}", err=True)
        sys.exit(2)
    except StateUnusable as error:  # nothing is wrong with the call
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except click.Abort:  # Ctrl-C where nothing was at work
        sys.exit(1)
    finally:
        gc.freeze()  # the interpreter's last collections would go through all of Dagster, a fifth of a short command
