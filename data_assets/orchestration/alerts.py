"""Word to a person that a run has failed, or stored days that failed checks: one message to a web hook, to a program.

Here: the message, and sending it. Not here: which runs failed (`assets`, `run_liveness`). A sensor of Dagster's would
need its daemon; a backfill that cron starts has none.

An alert that cannot be sent is a warning in the run's log and never fails a run. The addresses are secrets, and stand
in no message.
"""

from __future__ import annotations

import http.client
import json
import shlex
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date

from data_assets.counts import part_of
from data_assets.ingest.outcome import NotStored
from data_assets.ingest.progress import IN_WORDS
from data_assets.lake.errors import one_line
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.day_states import command_that_shows
from data_assets.settings import settings

WEBHOOK_SECONDS = 10.0
COMMAND_SECONDS = 30.0

LONGEST_REASON = 500
"""Characters of a vendor's words in a message."""


def days_not_stored(dataset: MarketDataset, not_stored: Mapping[date, NotStored], asked: int) -> str:
    """What a failed run says: the dataset, its days by outcome, the newest of them with its reason, and the command.

    Args:
        dataset: whose run it was.
        not_stored: how each day that has no file ended; not empty.
        asked: days that the run was asked for.
    """
    counts = Counter(outcome.name for outcome in not_stored.values())
    outcomes = ", ".join(f"{counts[name]:,} {words}" for name, words in IN_WORDS.items() if name in counts)
    newest = max(not_stored)
    reason = one_line(not_stored[newest].reason, LONGEST_REASON)
    again = dataset.backfill_line(not_stored, "failed")
    return (
        f"{dataset.name}: {part_of(len(not_stored), asked, dataset.day)} did not store ({outcomes})\n"
        f"{dataset.label(newest)} {not_stored[newest].name}: {reason}\n"
        f"Again: {again}"
    )


def days_failed_checks(dataset: MarketDataset, failed: Mapping[date, Sequence[str]], asked: int) -> str:
    """What is said of stored days that failed checks: how many, the newest with its checks, and the command that shows.

    Args:
        dataset: whose run it was.
        failed: each such day with the checks' names; not empty. A check that only warns is none of them.
        asked: days that the run was asked for.
    """
    newest = max(failed)
    first, last = dataset.label(min(failed)), dataset.label(newest)
    return (
        f"{dataset.name}: {part_of(len(failed), asked, dataset.day)} stored and failed a check\n"
        f"{last} failed: {', '.join(failed[newest])}\n"
        f"What was found: {command_that_shows(dataset.name, first, last)}"
    )


def run_broke_off(name: str, run_id: str, why: object) -> str:
    """What is said of a run that ended before it could tell how its days ended."""
    return f"{name}: run {run_id[:8]} broke off: {one_line(why, LONGEST_REASON)}"


def send_alert(message: str, warn: Callable[[str], object]) -> None:
    """Send a message to where the settings say: `ALERT_WEBHOOK_URL`, `ALERT_COMMAND`, both, or nowhere.

    Args:
        message: plain text; the web hook gets it as `{"text": ...}`, the program on its standard input.
        warn: told in one line what could not be sent.
    """
    if url := settings().alert_webhook_url.get_secret_value():
        _post(url, message, warn)
    if command := settings().alert_command.get_secret_value():
        _run(shlex.split(command), message, warn)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Followed, a redirect would be a GET without the message, and count as sent."""

    def redirect_request(self, *_: object) -> None:
        return None


def _post(url: str, message: str, warn: Callable[[str], object]) -> None:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        message = message.replace(character, entity)  # Slack would take a vendor's <!channel> for its own mark-up
    # Not by httpx: it logs the address of every request, and this one is a secret.
    request = urllib.request.Request(
        url, json.dumps({"text": message}).encode(), {"Content-Type": "application/json", "User-Agent": "data_assets"}
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=WEBHOOK_SECONDS):
            return
    except urllib.error.HTTPError as error:
        said = f"answered {error.code}"
        error.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        said = f"could not be reached ({type(cause).__name__})"
    warn(f"the alert was not sent: ALERT_WEBHOOK_URL {said}; the days are in the run's log all the same")


def _run(command: list[str], message: str, warn: Callable[[str], object]) -> None:
    try:
        ended = subprocess.run(command, input=message.encode(), capture_output=True, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        said = f"did not end within {COMMAND_SECONDS:g} s"
    except OSError as error:
        said = f"could not be started ({error.strerror})"
    else:
        if ended.returncode == 0:
            return
        said = f"ended with exit status {ended.returncode}"
    warn(f"the alert was not sent: ALERT_COMMAND ({command[0]}) {said}; the days are in the run's log all the same")
