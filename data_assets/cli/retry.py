"""`data-assets retry`: ask again for the days that failed last.

Here: the command. Not here: the work (`backfill`), and seeing them first (`list --failed`).
"""

from __future__ import annotations

import click

from data_assets.cli.backfill import fill
from data_assets.cli.project import json_option
from data_assets.cli.selection import Selection, takes_selection


@click.command()
@takes_selection(failed=False)
@json_option
def retry(selection: Selection, as_json: bool) -> None:
    """Ask again for exactly the days that failed last, of each KEY (a dataset, a vendor, a glob; default: all).

    A day without a try is not asked for: that is `backfill`. Exit 1 if any day did not store.
    """
    fill(selection, "failed", as_json)
