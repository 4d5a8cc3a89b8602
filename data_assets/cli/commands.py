"""Every command of `data-assets`: its arguments and its help.

Here: the declarations, and what is refused before anything is loaded. Not here: the work, which is a module for each
verb that is imported when its command is called: so `--help` and a wrong call answer at once.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from data_assets.cli.arguments import (
    Asked,
    DayOrMonth,
    Gigabytes,
    complete_keys,
    json_option,
    keys_and_days,
    refuse_reversed,
    takes_selection,
)
from data_assets.cli.known_names import refuse_unknown
from data_assets.cli.starting import show_loading
from data_assets.dataset_names import nearest
from data_assets.project import PROJECT

THETA_PORT, S3_PORT, TWS_PORT = 25503, 9000, 7497
"""Where the vendors' own servers usually listen; flat files come from a host of the vendor's."""

VENDORS = ("theta", "polygon", "ib")
HISTORIES = ("quotes", "greeks", "open_interest", "eod")
"""Whose symbols `add` adds; of Theta's, one of these histories."""

WANTED = ("missing", "failed", "all")
"""What ``--only`` may say."""

ENGINES = ("frame", "csv", "lean", "nautilus", "iceberg")
LOADERS = {
    **dict.fromkeys(("vectorbt", "backtesting", "backtesting.py", "pandas", "polars"), "frame"),
    "backtrader": "frame with --label end",
    **dict.fromkeys(("nautilus_trader", "nautilustrader"), "nautilus"),
    **dict.fromkeys(("spark", "pyspark", "trino", "duckdb", "pyiceberg"), "iceberg"),
}
"""What is read by engines that have no format of their own, or another name."""

WHICH_THERE_ARE = "which there are: data-assets --help"

SHAPED, SHAPE = ("frame", "csv"), ("label", "zone", "every", "grid", "fill")
FAULTS = ("missing", "failed", "hole", "check")
"""What `export` knows: formats, those whose form can be chosen, and what keeps a day from being exported."""


class _Format(click.Choice[str]):
    """A format that is exported; an engine's own name is told which of them it reads."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The format, or one line that says which there are."""
        if (meant := LOADERS.get(str(value).casefold())) is not None:
            self.fail(f"{value} reads what the format {meant} writes: name that instead", param, ctx)
        return super().convert(value, param, ctx)


def _project_option() -> click.Option:
    """`--project`, before the command or after it; the processes that the command starts are told too."""
    return click.Option(
        ["--project"],
        type=click.Path(),
        expose_value=False,
        is_eager=True,  # before a day is read by the calendar, which is kept in the project's state folder
        callback=_name_the_project,
        help="Folder of the project; default: the nearest one upwards from here.",
    )


def _name_the_project(_ctx: click.Context, _option: click.Parameter, folder: str | None) -> None:
    if folder is not None:
        os.environ[PROJECT] = str(Path(folder).expanduser().absolute())


class _Commands(click.Group):
    """Lists them in the order in which one needs them, and names the one that was meant for a name that is none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in self.commands:
            near = nearest(self.commands, cmd_name)
            ctx.fail(f"there is no command {cmd_name!r}; {f'the nearest is {near}' if near else WHICH_THERE_ARE}")
        return self.commands[cmd_name]


@click.group(cls=_Commands, params=[_project_option()], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="data-assets", message="data-assets %(version)s")
def cli() -> None:
    """Years of market data on your own disk: one Dagster asset per dataset, one partition per trading day."""


def _command(summary: str, name: str | None = None) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of a function; all but `init` work in a project."""

    def declare(function: Callable[..., Any]) -> click.Command:
        command = cli.command(name, short_help=summary)(function)
        if command.name != "init":
            command.params.append(_project_option())
        return command

    return declare


def _run(verb: str, *arguments: Any, function: str | None = None) -> None:
    """Call what does a verb's work: in the module of its name the function of its name, or another one."""
    module = importlib.import_module(f"data_assets.cli.{verb}")
    gc.freeze()  # what is loaded stays, so no later collection has to go through it
    gc.enable()
    getattr(module, function or verb)(*arguments)


def _run_in_project(verb: str, *arguments: Any, key: str | None = None, function: str | None = None) -> None:
    """The same where Dagster and the project's blocks are loaded first, which takes its time.

    Args:
        verb: as of `_run`.
        arguments: likewise.
        key: what is to be one dataset's name, among them.
        function: as of `_run`.
    """
    refuse_unknown([key] if key else [], alone=True)
    refuse_unknown([each for asked in arguments if isinstance(asked, Asked) for each in asked.keys])
    show_loading()
    _run(verb, *arguments, function=function)


def _names_datasets(asked: Asked, otherwise: str = "") -> None:
    if not asked.keys and not asked.everything:
        raise click.UsageError(f"name datasets (KEY...), or say --all{otherwise}")


@_command("Write a new project into a folder.")
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a project into FOLDER: the shipped datasets, settings, and Dagster's files.

    Nothing is overwritten: where one of its files is there already, nothing is written at all.
    """
    _run("init", folder)


@_command("Download the days that are missing or failed.")
@takes_selection()
@click.option(
    "--only",
    type=click.Choice(WANTED),
    help="Just the missing or just the failed days; or all, which downloads stored days again. Default: both, and days "
    "that lack a ticker added since.",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Only say what it would take, as `plan` does.")
@click.option("--yes", is_flag=True, help="Do not ask, however long it may take.")
@json_option
def backfill(asked: Asked, only: str | None, is_dry: bool, yes: bool, as_json: bool) -> None:
    """Download the missing and failed days of each KEY (a dataset, a vendor, a glob), newest first, in this process.

    So are days stored before a ticker was added; what the cache still holds of them is not downloaded again.

    Datasets come one after another, those that others are made from first, each with the days that it has: they may
    begin and end on different ones. One that cannot be reached keeps no other from being filled. The runs show in the
    UI like any other. Ctrl-C stops all of it: what is stored stays, and the same command goes on later.

    A stored day that fails a check is marked with !, and the checks are named; so are those that only warn of it, which
    the market itself can cause. Exit 1 if a day did not store or failed a check; a warning is no fault.

    What it is expected to take is said before it begins. If that is more than an hour or half of the free disk, you are
    asked whether to go on, unless there is no terminal (as under cron) or --yes is given.
    """
    only = _states_asked_for(asked, only)
    _names_datasets(asked, "; what failed last: data-assets retry")
    if is_dry:
        _run_in_project("backfill", asked, only, as_json, function="dry_run")
    else:
        _run_in_project("backfill", asked, only, as_json, yes)


def _states_asked_for(asked: Asked, only: str | None) -> str | None:
    if asked.failed and only not in (None, "failed"):
        raise click.UsageError(f"--failed and --only {only} contradict each other")
    return "failed" if asked.failed else only


@_command("Say what a backfill would take.")
@takes_selection()
@click.option("--only", type=click.Choice(WANTED), help="As of backfill: just missing or failed days, or all.")
@json_option
def plan(asked: Asked, only: str | None, as_json: bool) -> None:
    """Say what a backfill of each KEY (a dataset, a vendor, a glob; default: all) would take.

    That is days, requests, rows, bytes and time at the rate that is allowed, and the room on the disk. Taken from the
    days that were stored last, or else from what the vendor is known to send; nothing is asked of it, and nothing
    downloaded. Exit 1 if there is no room for it.
    """
    _run_in_project("backfill", asked, _states_asked_for(asked, only), as_json, function="dry_run")


@_command("Ask again for the days that failed last.")
@takes_selection(failed=False)
@json_option
def retry(asked: Asked, as_json: bool) -> None:
    """Ask again for exactly the days that failed last, of each KEY (a dataset, a vendor, a glob; default: all).

    A day without a try is not asked for: that is `backfill`. Exit 1 if any day did not store, or failed a check.
    """
    _run_in_project("backfill", asked, "failed", as_json, True)  # all of it was agreed to before


@_command("List the datasets, or with --failed what failed.", "list")
@takes_selection()
@json_option
def list_datasets(asked: Asked, as_json: bool) -> None:
    """List each KEY (a dataset, a vendor, a glob; default: all): days stored, failed, missing, the first and the last.

    With --failed: each day that failed last with its outcome and reason, newest first, and the command that asks again.
    Exit 1 if a day has failed.
    """
    _run_in_project("list_datasets", asked, as_json)


@_command("List the days that are missing or failed.")
@takes_selection()
@json_option
def gaps(asked: Asked, as_json: bool) -> None:
    """List the days of each KEY (a dataset, a vendor, a glob; default: all) that are missing or failed.

    Exit 1 if there are any.

    A day that was stored before a ticker was added is lacking: it is listed with what it lacks, and so is a month whose
    days have changed.
    """
    _run_in_project("gaps", asked, as_json)


@_command("Show how complete and how healthy each dataset is.")
@takes_selection()
@json_option
def status(asked: Asked, as_json: bool) -> None:
    """Show one line per dataset and, of each KEY (a dataset, a vendor, a glob), the newest days, or those asked for.

    Of checks that did not pass, what they found is said. Exit 1 if a day shown has failed, failed a check (a warning is
    no fault), or lies in a folder that may not be looked into.
    """
    _run_in_project("status", asked, as_json)


@_command("Show the calendar of each dataset as a picture, or as a page.")
@takes_selection()
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page instead, which needs nothing but a browser.",
)
@json_option
def coverage(asked: Asked, html: Path | None, as_json: bool) -> None:
    """Draw the calendar of each KEY (a dataset, a vendor, a glob; default: all), a year a row, a character a week.

    With --html: one page with a cell a day, rows and bytes per day, checks, and what changed lately. The asset
    coverage_page writes the same page by itself, into the state folder. Exit 1 if a day shown has failed, or lies in a
    folder that may not be looked into.
    """
    if html is not None and as_json:
        raise click.UsageError("--html and --json contradict each other")
    _run_in_project("coverage", asked, html, as_json)


@_command("Take in days from files of an older downloader.", "import")
@click.argument("key")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@json_option
def import_files(key: str, path: Path, as_json: bool) -> None:
    """Take in days of the dataset KEY from files of an older downloader: one file, or those in the folder PATH.

    A file passes the same parsing, completeness and checks as a download, or is refused with the reason; days that are
    stored are skipped. The files themselves stay as they are. They are real data, so the profile has to be live.
    """
    _run_in_project("import_files", key, path, as_json, key=key)


@_command("Read stored files again and find damage.")
@takes_selection()
@json_option
def verify(asked: Asked, as_json: bool) -> None:
    """Read the stored files of each KEY (default: all) again: sha256, page checksums, rows, schema.

    A damaged day turns red in the grid, and the next backfill fetches it again. A red day whose file is found whole
    turns green, and a whole file that is newer than its record, as after a killed run, is recorded. Exit 1 if a day is
    damaged, or has a file without a record, or was stored in another lake.
    """
    _run_in_project("verify", asked, as_json)


@_command("Find damage, and fetch exactly what is damaged.")
@takes_selection()
@json_option
def repair(asked: Asked, as_json: bool) -> None:
    """Verify the stored files of each KEY (default: all), and download exactly the days that are damaged or gone.

    The damaged files stay until their replacements are whole. Exit 1 if a day is damaged still, its replacement failed
    a check, or something was found that a download cannot mend: files without a record (`reconcile`), days in another
    lake.
    """
    _run_in_project("repair", asked, as_json)


@_command("Record days from their files, as after a lost history.")
@takes_selection()
@json_option
def reconcile(asked: Asked, as_json: bool) -> None:
    """Record the days of each KEY (default: all) that lie in the lake without a record; nothing is downloaded.

    For a run history that was lost or restored from an older backup, and for a lake that came from another machine.
    Each such file is read as a whole and recorded from its footer, with its checks; one that is damaged turns red, and
    so does a recorded day whose file is gone. Exit 1 if a day turned red, failed a check, or was stored
    in another lake.
    """
    _run_in_project("reconcile", asked, as_json)


@_command("Accept that the vendor will never have a day.")
@takes_selection(words="[KEY]... [DAY [LAST]]")
@click.option("--reason", help="Why no data will ever come, such as the vendor's own words.")
@click.option("--undo", is_flag=True, help="Take holes back: each day is again what it was, missing or failed.")
@click.option("--list", "listing", is_flag=True, help="Show the accepted holes of each KEY (default: of all datasets).")
@json_option
def accept_hole(asked: Asked, reason: str | None, undo: bool, listing: bool, as_json: bool) -> None:
    """Record that the vendor will never have DAY of each KEY (a dataset, a vendor, a glob): it counts as done.

    It has zero rows and your reason. DAY may be several with commas, each of which has to be missing or failed (with
    --undo: a hole). Of a range (DAY LAST, a month, --from and --to, --days) and with --failed, those days are meant
    that are. `backfill --only all` asks for holes all the same, and what then arrives takes their place.
    """
    if listing + undo + (reason is not None) > 1:
        raise click.UsageError("--list, --undo and --reason contradict each other")
    keys, days = keys_and_days(asked)
    if listing:
        _run_in_project("accept_hole", keys, days, as_json, function="list_holes")
        return
    usage = f"data-assets accept-hole KEY DAY [LAST] {'--undo' if undo else '--reason TEXT'}"
    _names_datasets(keys, f": {usage}")
    if not (days or keys.bounds or keys.failed):
        raise click.UsageError(f"name the days: {usage}")
    if undo:
        _run_in_project("accept_hole", keys, days, as_json, function="take_holes_back")
        return
    text = " ".join((reason or "").split())
    if not text:
        raise click.UsageError("say with --reason why no data will ever come")
    _run_in_project("accept_hole", keys, days, text, as_json)


class _Snapshots(click.Group):
    """Takes one where the first word is none of its commands: `snapshot NAME KEY...`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names, "--project"}:
            args = ["take", *args]
        return super().parse_args(ctx, args)


@cli.group(cls=_Snapshots, params=[_project_option()], short_help="Pin which bytes of which days were used.")
def snapshot() -> None:
    """Pin which bytes of which days a piece of research has used, see what has changed since, and read them again.

    `snapshot NAME KEY...` takes one.
    """


def _snapshot_command(name: str, summary: str) -> Callable[[Callable[..., Any]], click.Command]:
    def declare(function: Callable[..., Any]) -> click.Command:
        command = snapshot.command(name, short_help=summary)(function)
        command.params.append(_project_option())
        return command

    return declare


@_snapshot_command("take", "Take one: snapshot take NAME KEY...")
@click.argument("name")
@takes_selection(failed=False)
@click.option(
    "--into", type=click.Path(path_type=Path), help="File to write it to; default: NAME.snapshot.json, in this folder."
)
@click.option("--keep/--no-keep", default=True, help="Whether the lake keeps the files of these days (the default).")
@json_option
def snapshot_take(asked: Asked, name: str, into: Path | None, keep: bool, as_json: bool) -> None:
    """Write down the digest of every stored day of each KEY (a dataset, a vendor, a glob), and keep their files.

    The file is one to commit beside a strategy. Every byte is read. On a local disk what is kept costs nothing until a
    day is replaced; on exFAT and in an object store it is a copy. Python reads the days as they were:
    Lake(..., as_of=Snapshot.read(path)).
    """
    _names_datasets(asked)
    _run_in_project("snapshot", name, asked, into, keep, as_json, function="take")


@_snapshot_command("check", "Say which days have changed since, and how.")
@click.argument("snapshot", metavar="NAME|FILE")
@json_option
def snapshot_check(snapshot: str, as_json: bool) -> None:
    """Compare every byte of the days of a snapshot with what the lake holds now: its NAME, or a FILE of one.

    Of days that were revised it says how many rows were added, removed and altered, and the largest change of a price.
    Exit 1 if a day is other than it was, or was stored in between.
    """
    _run_in_project("snapshot", snapshot, as_json, function="check")


@_snapshot_command("list", "List the lake's snapshots.")
@json_option
def snapshot_list(as_json: bool) -> None:
    """List the lake's snapshots, the oldest first, and what dropping each may free."""
    _run_in_project("snapshot", as_json, function="list_all")


@_snapshot_command("drop", "Give snapshots up, and the files kept for them.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@json_option
def snapshot_drop(names: tuple[str, ...], as_json: bool) -> None:
    """Remove snapshots from the lake, and the replaced files that no other one needs; no day is touched."""
    _run_in_project("snapshot", names, as_json, function="drop")


@_snapshot_command("prune", "Drop the oldest, by number, age or size.")
@click.option("--newest", type=click.IntRange(min=0), help="Leave no more than the newest N.")
@click.option("--days", type=click.IntRange(0, 100_000), help="Leave those taken in the last N days.")
@click.option("--gb", type=Gigabytes(), help="Leave as many of the newest as keep N GB of replaced files.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def snapshot_prune(newest: int | None, days: int | None, gb: float | None, yes: bool, as_json: bool) -> None:
    """Drop the oldest snapshots until all that is asked for holds; it says which, and asks."""
    if newest is None and days is None and gb is None:
        raise click.UsageError("say what is to be left: --newest N, --days N or --gb N")
    _run_in_project("snapshot", newest, days, gb, yes, as_json, function="prune")


@_command("Say what the vendor has of a dataset.")
@click.argument("key", shell_complete=complete_keys)
@click.argument("day", required=False)
@json_option
def offers(key: str, day: str | None, as_json: bool) -> None:
    """Ask the vendor of the dataset KEY since when it has it, what your plan includes, and what DAY is made of.

    DAY (default: the newest) is a session, whether or not the dataset asks for it: its option contracts or tickers are
    counted, and --json names them all. About a dozen small requests; for Polygon, DAY's file is read. Nothing is
    stored. Exit 1 if the vendor does not answer, or the plan does not include the dataset.
    """
    _run_in_project("offers", key, day, as_json, key=key)


@_command("Add a symbol to the project, after asking the vendor.")
@click.argument("vendor", type=click.Choice(VENDORS))
@click.argument("symbol")
@click.argument("history", required=False, type=click.Choice(HISTORIES))
@click.option("--primary-exchange", metavar="NAME", help="Of ib: the listing exchange, where a symbol has several.")
@json_option
def add(vendor: str, symbol: str, history: str | None, primary_exchange: str | None, as_json: bool) -> None:
    """Add SYMBOL of VENDOR to the blocks under `defs`: `add theta IWM quotes`, `add ib NVDA`, `add polygon KO`.

    The vendor is asked first, as `offers` asks: a symbol that it does not know, or data that your plan does not
    include, change nothing (exit 1). Theta's HISTORY gets a block of its own, from the first day of your plan on; an IB
    symbol a row in the list of tickers (where several exchanges list one, with `--primary-exchange NASDAQ`); a Polygon
    ticker a place in `tickers`. All else in these files stays as it is.
    What is there already is left alone. Nothing is downloaded; what to run next is printed.
    """
    if vendor == "theta" and history is None:
        raise click.UsageError(f"say which history of {symbol}: {', '.join(HISTORIES)}")
    if vendor != "theta" and history is not None:
        raise click.UsageError(f"{history} is a history of theta; {vendor} has one kind of data: leave it out")
    if vendor != "ib" and primary_exchange is not None:
        raise click.UsageError(f"--primary-exchange is for symbols of ib; {vendor} asks for none")
    if not symbol.strip() or not symbol.isprintable():
        raise click.UsageError(f"{symbol!r} is no symbol")
    _run_in_project("add", vendor, symbol.strip(), history, (primary_exchange or "").strip().upper(), as_json)


@_command("Look for what would keep days from being stored.")
@takes_selection(failed=False, days=False)
@json_option
def doctor(asked: Asked, as_json: bool) -> None:
    """Look at settings, calendar, clock, disks, run history, daemon and vendors, and say what to do about each finding.

    Of each vendor, one dataset of each kind is asked for its newest day and for its first day, which is compared with
    what the vendor has and your plan includes; with KEYs or --all, each of the datasets. Nothing is downloaded or
    stored. Exit 1 if a finding is an error.
    """
    _run_in_project("doctor", asked, as_json)


@_command("Look for splits that the stored bars show and no table knows.")
@click.argument("key", shell_complete=complete_keys)
@click.option("--ticker", "tickers", multiple=True, help="Of a dataset of many tickers: whose bars. Repeatable.")
@click.option("--table", type=click.Path(path_type=Path), help="Known splits, as CSV, YAML or JSON.")
@click.option("--from", "start", type=DayOrMonth(), help="First day, or month; default: the first stored one.")
@click.option("--to", "end", type=DayOrMonth(), help="Last day, or month; default: the last stored one.")
@json_option
def splits(key: str, tickers: tuple[str, ...], table: Path | None, **options: Any) -> None:
    """Look in the bars of KEY for nights over which the price changed by about the factor of a usual split.

    Polygon's bars are unadjusted: such a night is a split that --table lacks, or news. IB's are adjusted as of the day
    of each request: there days were fetched before and after a split, and the command that fetches the older ones again
    is printed. The table's columns are ticker, execution_date, split_from, split_to. Exit 1 if there is such a night.
    """
    refuse_reversed(options["start"], options["end"])
    table = table and table.expanduser().absolute()  # from here, and not from the project
    _run_in_project("splits", key, tickers, table, options, key=key)


@_command("Write days out for a backtest engine.")
@click.argument("engine", type=_Format(ENGINES))
@click.argument("key", shell_complete=complete_keys)
@click.option("--ticker", help="Of a dataset of many tickers: whose bars.")
@click.option("--from", "start", type=DayOrMonth(), help="First day, or month; default: the first stored or tried.")
@click.option("--to", "end", type=DayOrMonth(), help="Last day, or month; default: the last stored or tried.")
@click.option("--snapshot", metavar="NAME|FILE", help="The days of a snapshot, with the bytes that they had then.")
@click.option(
    "--allow", multiple=True, type=click.Choice(FAULTS), help="Tolerate such days; the manifest names them. Repeatable."
)
@click.option("--into", type=click.Path(path_type=Path), help="Folder; default: exports/PROFILE/ENGINE in the project.")
@click.option("--label", type=click.Choice(["start", "end"]), help="frame, csv: a bar is named by its start (default).")
@click.option("--zone", help="frame, csv: of the timestamps; default: America/New_York.")
@click.option(
    "--hours", type=click.Choice(["regular", "extended"]), help="Bars of which hours; default: regular, lean: extended."
)
@click.option(
    "--every", type=click.Choice(["1m", "5m", "15m", "30m"]), help="frame, csv: length of a bar; default: 1m."
)
@click.option("--grid", is_flag=True, default=None, help="frame, csv: a row for each bar, nulls where nothing traded.")
@click.option("--fill", is_flag=True, default=None, help="frame, csv: on the grid, carry the last close on.")
@json_option
def export(engine: str, key: str, **options: Any) -> None:
    """Write days of the dataset KEY for ENGINE: files that the engine reads, and a manifest of which days they hold.

    A day that is missing, failed, a hole or red on a check stops it before anything is written, and is named; --allow
    tolerates such days. Files are replaced as a whole; a day that was fetched again since replaces itself. A file that
    the export has not written is never replaced. Exit 1 if days are refused, or have no row.
    """
    if engine not in SHAPED and (wrong := [name for name in SHAPE if options[name] is not None]):
        raise click.UsageError(f"--{wrong[0]} is an option of {' and '.join(SHAPED)}: {engine} has one form of its own")
    refuse_reversed(options["start"], options["end"])
    into = options["into"] and options["into"].expanduser().absolute()  # from here, and not from the project
    if options["snapshot"] and (file := Path(options["snapshot"]).expanduser()).is_file():
        options["snapshot"] = str(file.absolute())
    _run_in_project("export", engine, key, options | {"into": into}, key=key)


def _port(vendor: str, usual: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    text = f"Port of the {vendor} server; 0 picks one."
    kind = click.IntRange(0, 65535)
    return click.option(f"--{vendor.lower()}-port", type=kind, default=usual, show_default=True, help=text)


@_command("Serve the simulated vendors on their usual ports.")
@_port("Theta", THETA_PORT)
@_port("S3", S3_PORT)
@_port("TWS", TWS_PORT)
def sandbox(theta_port: int, s3_port: int, tws_port: int) -> None:
    """Serve synthetic data in the vendors' own protocols until Ctrl-C, for curl, S3 and TWS clients."""
    _run("sandbox", theta_port, s3_port, tws_port)


@_command("Fill a synthetic lake with some days and open the UI.")
@click.option("--serve/--no-serve", default=True, help="Serve the UI afterwards, until Ctrl-C.")
def demo(serve: bool) -> None:
    """Backfill the newest ten trading days and a few older ones in the sandbox; one of the older is cut short.

    The vendor simulator cuts that one day's download, so that the grid shows what a failed day looks like and there is
    a gap to close. Needs no subscription.
    """
    _run("demo", serve)
