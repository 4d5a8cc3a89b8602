"""What a running backfill looks like in a terminal, and line by line where there is none.

Here: drawing. Everything goes to stderr; stdout is for documents. Not here: counting (`ingest.progress`).
"""

from __future__ import annotations

import io
import logging
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import date
from itertools import accumulate

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from data_assets.cli.screen import Screen
from data_assets.counts import count_of, part_of
from data_assets.ingest.engine import IngestReport, retries
from data_assets.ingest.outcome import NotStored, Outcome
from data_assets.ingest.progress import ActiveDay, Progress, Snapshot, duration, ending, line
from data_assets.ingest.waiting import Wait, local_now
from data_assets.orchestration.dagster_private import get_log_record_metadata, has_log_record_metadata
from data_assets.orchestration.day_states import command_that_shows
from data_assets.orchestration.own_run import unwritten_events_unsaid
from data_assets.quality.verdict import SEVERITIES, Breaches, Verdict

REFRESH_SECONDS = 0.25
PLAIN_LINE_SECONDS = 5.0
WAIT_LINE_SECONDS = 60.0
SHORTEST_BAR = 10
GAP = 2


class _Warnings(logging.Handler):
    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno != logging.WARNING or record.name == retries.name:
            return
        of_run = get_log_record_metadata(record) if has_log_record_metadata(record) else None
        self._say(of_run["orig_message"] if of_run else record.getMessage())  # a run puts its id before its messages


class Display:
    """Shows one backfill, which may take several runs; the `RunWatcher` of each.

    Attributes:
        report: how the days of the newest run ended; None before its end, and of a run that broke off.
        outcomes: how those days of it ended that are recorded.
        breaches: the checks that stored days of all its runs have not passed.

    Args:
        name: the dataset.
        total: days asked for.
        console: where to draw.
        unit: what a day of the dataset is called, such as month.
        label: how one is written.
    """

    def __init__(
        self, name: str, total: int, console: Console, unit: str = "day", label: Callable[[str | date], str] = str
    ) -> None:
        self._name, self._total, self._console = name, total, console
        self._unit, self._label = unit, label
        self._done_before = 0
        self._progress: Progress | None = None
        self._last_reason: str | None = None
        self._same_reason = 0
        self._waiting: Live | None = None
        self._wait_said: float | None = None
        self.breaches = Breaches()
        self.report: IngestReport | None = None
        self.outcomes: dict[date, Outcome] = {}

    def run_begins(self) -> None:
        """Forget the run before."""
        self.report, self.outcomes = None, {}

    def say(self, text: str) -> None:
        """One line above the live part."""
        self._console.print(text, style="dim", highlight=False, soft_wrap=True)

    def show_wait(self, wait: Wait | None) -> None:
        """What is waited for before a run, while it is: kept in sight in a terminal, elsewhere a line a minute."""
        if wait is None:
            if self._waiting is not None:
                self._waiting.stop()
            self._waiting, self._wait_said = None, None
            return
        waited = (local_now() - wait.since).total_seconds()
        if self._console.is_terminal:
            if self._waiting is None:
                self._waiting = Live(console=self._console, auto_refresh=False, transient=True)
                self._waiting.start()
            text = Text(f"{self._name}  {wait} ({duration(waited)} so far)", style="yellow", overflow="fold")
            self._waiting.update(text, refresh=True)
        elif self._wait_said is None or waited - self._wait_said >= WAIT_LINE_SECONDS:
            self._wait_said = waited
            self.say(str(wait))

    @contextmanager
    def watch(self, progress: Progress) -> Iterator[None]:
        """Show a run while the context lasts."""
        self._progress = progress
        ended = threading.Event()
        live = Live(console=self._console, auto_refresh=False, transient=True) if self._console.is_terminal else None
        with live or nullcontext(), unwritten_events_unsaid(), self._warnings():  # Live takes stderr for itself
            thread = threading.Thread(target=self._draw, args=(progress, live, ended), daemon=True)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
                self._end_the_reason()
        self._done_before += progress.snapshot().done

    @contextmanager
    def _warnings(self) -> Iterator[None]:
        """Say what the run is warned of, such as what it waits for; errors are said as the ends of days."""
        handler = _Warnings(lambda text: self.say(escape(text)))
        logger = logging.getLogger("data_assets")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def _draw(self, progress: Progress, live: Live | None, ended: threading.Event) -> None:
        waited = 0.0
        while True:
            last = ended.wait(REFRESH_SECONDS)
            snapshot = progress.snapshot()
            waited += REFRESH_SECONDS
            if live is not None:
                live.update(self._picture(snapshot), refresh=True)
            elif waited >= PLAIN_LINE_SECONDS:
                self.say(line(snapshot))
                waited = 0.0
            if last:
                return

    def day_judged(self, day: date, verdicts: Sequence[Verdict]) -> None:
        """Keep what a day has not passed, for its line; one that has had its line, or has none, gets one for it."""
        before = self.breaches.of_days.get(day)
        self.breaches.judged(day, verdicts)
        is_awaited = self._progress is not None and any(each.day == day for each in self._progress.snapshot().active)
        if not is_awaited and self.breaches.of_days.get(day) not in (None, before):
            mark, found = self._found(day)
            self._console.print(f"{mark} {self._label(day)}  judged again{found}", highlight=False, soft_wrap=True)

    def _found(self, day: date) -> tuple[str, str]:
        """The mark of a stored day, and what is said of checks that it has not passed."""
        failed, warned = (self.breaches.names(day, severity) for severity in SEVERITIES)
        text = f"  [red]failed {', '.join(failed)}[/red]" if failed else ""
        text += f"  [yellow]warning: {', '.join(warned)}[/yellow]" if warned else ""
        return ("[red]![/red]" if failed else "[green]✓[/green]"), text

    def day_ended(self, day: date, outcome: Outcome) -> None:
        """One line for a day, above the live part; one for all days that what was said of a newer one settles."""
        self.outcomes[day] = outcome
        if isinstance(outcome, NotStored) and not outcome.tried and outcome.reason == self._last_reason:
            self._same_reason += 1
            return
        self._end_the_reason()
        if isinstance(outcome, NotStored):
            self._last_reason = outcome.reason
            text = f"[red]✗[/red] {self._label(day)}  {outcome.name}: {escape(outcome.reason)}"
        else:
            attempts = self._attempts(day)
            mark, found = self._found(day)
            text = f"{mark} {self._label(day)}  {count_of(outcome.rows, 'row')}  {_size(outcome.size)}"
            text += (f"  ({attempts} attempts)" if attempts > 1 else "") + found
        self._console.print(text, highlight=False, soft_wrap=True)

    def _attempts(self, day: date) -> int:
        """How often a day was asked for; it is in work until the watcher has heard of its end."""
        active = self._progress.snapshot().active if self._progress is not None else ()
        return next((each.attempt for each in active if each.day == day), 0)

    def _end_the_reason(self) -> None:
        if self._same_reason:
            self.say(f"  and {count_of(self._same_reason, f'older {self._unit}')} for the same reason")
        self._last_reason, self._same_reason = None, 0

    def run_ended(self, report: IngestReport) -> None:
        """Keep how the days of the run ended."""
        self.report = report

    def lake_refused(self, reason: str) -> None:
        """Say why the run does nothing."""
        self.say(f"{self._name}: {escape(reason)}")

    def _picture(self, snapshot: Snapshot) -> RenderableType:
        done = self._done_before + snapshot.done
        count = f"{done:,}/{self._total:,} {self._unit}s"
        head = Table.grid(padding=(0, 2))
        room = self._console.width - len(self._name) - len(count) - 4
        if room < SHORTEST_BAR:
            head.add_row(Text(f"{self._name}  {count}", style="bold", overflow="fold"))
        else:
            bar = ProgressBar(total=max(self._total, 1), completed=done, width=min(30, room))
            head.add_row(Text(self._name, style="bold"), bar, count)
        rates = Text(
            f"  {snapshot.bytes_per_second / 1e6:.1f} MB/s  {snapshot.rows_per_second:,.0f} rows/s  "
            f"{snapshot.concurrency} at once"
        )
        ends = Text("\n".join(f"  {text}" for text in ending(snapshot)), style="yellow" if snapshot.waits else "")
        return Group(head, rates, ends, self._days(snapshot.active))

    def _days(self, active: Sequence[ActiveDay]) -> Table:
        """A row for each day in work; of its columns those that fit, in the order of what they are worth."""
        rows = [
            (
                f"  {self._label(day.day)}",
                str(day.phase),
                f"{day.received / 1e6:.1f} MB",
                count_of(day.rows, "row"),
                f"attempt {day.attempt}" if day.attempt > 1 else "",
            )
            for day in active
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        needed = list(accumulate(width + GAP for width in widths))
        fitting = sum(width - GAP <= self._console.width for width in needed)
        table = Table.grid(padding=(0, GAP, 0, 0))
        for row in rows:
            table.add_row(*(Text(cell, overflow="fold") for cell in row[: max(fitting, 2)]))
        return table

    def summary(
        self,
        stored: Sequence[str],
        not_stored: Mapping[str, NotStored],
        interrupted: bool,
        again: Sequence[str],
    ) -> None:
        """The last words: how many days are stored and which checks failed, and the commands that go on from there."""
        text = f"{self._name}: {part_of(len(stored), self._total, self._unit)} stored"
        if not self._total:
            text = f"{self._name}: nothing to do, no {self._unit} asked for is missing or failed"
        text += checks_text(self.breaches, self._unit) + (", then stopped" if interrupted else "")
        self._console.print(text, style="bold", highlight=False, soft_wrap=True)
        if days := sorted(map(self._label, self.breaches.of_days)):
            see = command_that_shows(self._name, days[0], days[-1])
            self._console.print(f"what was found: {see}", highlight=False, soft_wrap=True)
        if not_stored:
            them = "it" if len(not_stored) == 1 else "them"
            self._console.print(
                f"{count_of(len(not_stored), self._unit)} not stored; "
                f"try {them} again with: {shlex.join(['data-assets', *again])}",
                highlight=False,
                soft_wrap=True,
            )


def checks_text(breaches: Breaches, unit: str) -> str:
    """`, 1 day failed a check (grid), 2 days with a warning (quotes)`; empty if all passed."""
    said = zip(SEVERITIES, ("failed a check", "with a warning"), strict=True)
    return "".join(
        f", {count_of(len(days), unit)} {words} ({', '.join(breaches.counts(severity))})"
        for severity, words in said
        if (days := breaches.days(severity))
    )


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"


class _Stderr(io.TextIOWrapper):
    """A terminal or pipe of its own that may go away, as with ``2>&1 | head``: the run goes on, and nobody reads it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(os.fdopen(descriptor, "wb"), encoding="utf-8")

    def write(self, text: str) -> int:
        """Take a text; one that cannot be shown any more is dropped."""
        try:
            return super().write(text)
        except OSError:
            self._read_by_nobody()
            return len(text)

    def flush(self) -> None:
        """Show what was written, as long as somebody reads it."""
        try:
            super().flush()
        except OSError:
            self._read_by_nobody()
            super().flush()

    def _read_by_nobody(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


@contextmanager
def open_console() -> Iterator[Console]:
    """A console on stderr, as it is now."""
    with _Stderr(os.dup(sys.stderr.fileno())) as stderr:
        yield Screen(file=stderr)


@contextmanager
def open_display(
    name: str, total: int, unit: str = "day", label: Callable[[str | date], str] = str
) -> Iterator[Display]:
    """A display on stderr, as it is now; the arguments are those of `Display`.

    Dagster leads the stderr of a running step through a pipe, to keep it with the run: no terminal to draw in.
    """
    with open_console() as console:
        display = Display(name, total, console, unit, label)
        if total:
            display.say(f"{name}: {count_of(total, unit)} to do")
        yield display
