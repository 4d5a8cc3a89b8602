"""`data-assets add`: a symbol more in the project's blocks, once its vendor has said that it has it.

Here: asking, and putting the changed files into the project. Not here: what is changed in them (`block_edits`), what a
vendor is asked (`offers`), and loading blocks (`blocks`).

The order keeps every block usable: the files are changed in a copy of `defs`, which is loaded as any project is; the
dataset that it defines asks the vendor; only then the
changed files take the place of the old ones, each by a rename.
"""

from __future__ import annotations

import asyncio
import difflib
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import NoReturn

import click

from data_assets.cli.block_edits import Addition, AlreadyThere, ib_ticker, polygon_ticker, theta_history
from data_assets.cli.blocks import load_blocks
from data_assets.cli.documents import AddedSymbol, write_document
from data_assets.cli.line_breaks import say
from data_assets.cli.offers import ask_offer
from data_assets.cli.project import EXIT_OK, counted_with_runs, enter_project
from data_assets.cli.starting import end_loading
from data_assets.cli.vendor_answers import ending_without_an_answer
from data_assets.counts import count_of
from data_assets.files import durable, tempfiles
from data_assets.ingest.outcome import IngestError
from data_assets.lake.errors import one_line
from data_assets.orchestration.dataset import MarketDataset, asked_of_a_vendor, datasets_of_this_process
from data_assets.orchestration.partitions import partition_keys
from data_assets.orchestration.vendor_offer import Offer
from data_assets.project import DEFS, mount_defs
from data_assets.settings import settings
from data_assets.vendors.ib.errors import WrongRow
from data_assets.wiring import open_lake

ASKED_DAY = -3
"""The third newest session: every vendor has published it, whatever the hour."""


def add(vendor: str, symbol: str, history: str | None, primary_exchange: str, as_json: bool) -> NoReturn:
    """Add a symbol, say what to run next, and end this process; with 1 if the vendor does not have it."""
    defs = enter_project() / DEFS
    mount_defs()  # refuses a project without blocks
    try:
        with tempfiles.locked_folder(defs):  # one after another: each reads what the one before has written
            addition, since = _add(defs, vendor, symbol, history, primary_exchange)
    except AlreadyThere as there:
        end_loading()
        say(f"{there}; nothing was changed", err=as_json)
        if as_json:
            write_document(AddedSymbol(there.dataset, added=False, files=[], first_day=None, note=""))
        sys.exit(EXIT_OK)
    except ValueError as error:
        raise click.UsageError(one_line(str(error))) from None
    except OSError as error:
        end_loading()
        say(f"Error: {error.filename or defs}: {one_line(error.strerror or str(error))}; nothing was changed", err=True)
        sys.exit(1)
    if as_json:
        files = [f"{DEFS}/{name}" for name in addition.changed]
        write_document(AddedSymbol(addition.dataset, True, files, since.isoformat() if since else None, addition.note))
    else:
        _say(addition, since)
    sys.exit(EXIT_OK)


def _add(
    defs: Path, vendor: str, symbol: str, history: str | None, primary_exchange: str
) -> tuple[Addition, date | None]:
    """Ask, write, and return what was added, and the first day that was written with it."""

    def addition(first_day: date | None = None) -> Addition:
        if vendor == "theta":
            return theta_history(defs, symbol.upper(), str(history), first_day)
        if vendor == "ib":
            return ib_ticker(defs, symbol.upper(), first_day, primary_exchange)
        return polygon_ticker(defs, spelling)

    spelling = symbol.upper() if symbol.islower() else symbol  # in the vendor's, AApB is a preferred share
    if vendor == "polygon" and settings().polygon_tickers is not None:
        raise ValueError(f"POLYGON_TICKERS replaces the tickers of defs.yaml: add {symbol} there, or unset it")
    added = addition()
    if vendor != "polygon" and added.dataset in _load(defs, {}):
        raise AlreadyThere(added.dataset, f"{added.dataset} is in {DEFS} already")
    dataset = _dataset_of(defs, added)
    offer, first_of_plan = _ask(dataset, added.what)
    if vendor == "polygon" and (known := _spelling(symbol, offer.names)) != spelling:
        spelling = known
        added = addition()
    since = None
    if vendor != "polygon":
        since = max(filter(None, (offer.first_day, first_of_plan)), default=None)
    if vendor == "ib" and since is not None and since <= dataset.span.first_day:
        since = None  # the list's own first day holds
    if since is not None:
        added = addition(since)
        _dataset_of(defs, added)
    _publish(defs, added)
    return added, since


def _spelling(symbol: str, tickers: Sequence[str]) -> str:
    """How Polygon spells what a person has written in any case; ends this process if it has no such ticker."""
    if symbol in tickers:
        return symbol
    alike = sorted(ticker for ticker in tickers if ticker.casefold() == symbol.casefold())
    if len(alike) == 1:
        return alike[0]
    if alike:
        _refuse(f"{symbol} may be {' or '.join(alike)}", "the case matters: write it as Polygon does")
    if _is_simulated():
        invented = f"which has {count_of(len(tickers), 'ticker')}, most of them invented"
        why = f"{symbol} is not in the simulator's file of {_asked_day()}, {invented}"
        _refuse(why, "in the live profile Polygon is asked")
    near = difflib.get_close_matches(symbol.upper(), tickers, n=3)
    meant = f"did you mean {' or '.join(near)}?" if near else ""
    _refuse(f"{symbol} is not in Polygon's file of {_asked_day()}", meant)


def _is_simulated() -> bool:
    return settings().profile != "live"


def _load(defs: Path, changed: Mapping[str, bytes]) -> dict[str, MarketDataset]:
    """The datasets of a copy of `defs` in which some files are changed.

    Raises:
        ValueError: a changed file, or the block beside it, cannot be loaded; the text says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / DEFS
        shutil.copytree(defs, copy, ignore=shutil.ignore_patterns("__pycache__"), ignore_dangling_symlinks=True)
        for name, content in changed.items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(content)
        datasets_of_this_process.clear()
        _, wrong = load_blocks(mount_defs(copy))
    mount_defs()
    places = {str(Path(DEFS, name).parent) for name in changed}
    for line in wrong:  # what is wrong elsewhere is said by every other command
        if str(Path(line.partition(":")[0]).parent) in places:
            raise ValueError(line)
    return dict(datasets_of_this_process)


def _dataset_of(defs: Path, added: Addition) -> MarketDataset:
    found = _load(defs, added.changed).get(added.dataset)
    if found is None:
        raise ValueError(f"{added.dataset} does not come of {' and '.join(added.changed)}: it is no symbol")
    return asked_of_a_vendor(found)


def _ask(dataset: MarketDataset, what: str) -> tuple[Offer, date]:
    """What the vendor says; a refusal ends this process."""
    end_loading()
    asked = ", as the simulator says" if _is_simulated() else ""
    with ending_without_an_answer(f"{what}: not added{asked}", _without_its_row), counted_with_runs():
        offer, first_of_plan = asyncio.run(ask_offer(dataset, open_lake(), _asked_day()))
    if first_of_plan is None:
        _refuse(f"{what}: your plan includes no day of it", offer.account)
    return offer, first_of_plan


def _without_its_row(error: IngestError) -> str:
    """What a vendor refuses, without the row of the list, which is not there yet."""
    if not isinstance(error, WrongRow):
        return str(error)
    if error.column == "primaryExchange":
        return f"{error.found}; name the one that is meant, by --primary-exchange"
    return f"{error.found}; nothing was changed"


def _asked_day() -> date:
    return date.fromisoformat(partition_keys()[ASKED_DAY])


def _refuse(why: str, more: str) -> NoReturn:
    say(f"Error: {why}{f' ({more})' if more else ''}; nothing was changed", err=True)
    sys.exit(1)


def _publish(defs: Path, added: Addition) -> None:
    """Put the changed files into the project; a list before the block that names it.

    Raises:
        ValueError: somebody has changed one of them in the meantime.
        OSError: they cannot be written.
    """
    for name, content in added.changed.items():
        path = (defs / name).resolve()  # a link stays one
        before = path.read_bytes() if path.exists() else None
        if before != added.before.get(name):
            raise ValueError(f"{DEFS}/{name}: was changed in the meantime; call this again")
        temp, file = tempfiles.create(path.parent, path.name)
        try:
            with file:
                file.write(content)
                durable.sync(file)
                if before is not None:
                    shutil.copymode(path, temp)
                durable.rename(temp, path)
        except BaseException:
            with suppress(OSError):
                temp.unlink(missing_ok=True)
            raise


def _say(added: Addition, since: date | None) -> None:
    say(f"{added.what} is in {' and '.join(f'{DEFS}/{name}' for name in added.changed)} now")
    if since is not None:
        whose = "simulator" if _is_simulated() else "vendor"
        say(f"  from {since} on, the first day that the {whose} has and your plan includes")
    if added.note:
        say(f"  {added.note}")
    if _is_simulated():
        say("  only the simulator was asked; in the live profile, what the vendor has is compared by:")
        say(f"    data-assets doctor {added.dataset}")
    say("what it takes to fill it:")
    say(f"  data-assets plan {added.dataset}")
    say("to fill it:")
    say(f"  data-assets backfill {added.dataset}")
    say("a UI or daemon that is running shows it after Reload definitions")
