"""`data-assets import`: take in days that an older downloader left as files.

Here: choosing the files, running the asset on them in this process, and the summary. Not here: reading a file and
judging whether it is whole (the vendor's own modules do, as for a download), and the run itself (`backfill`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from data_assets.cli.backfill import LEFT_TO_ANOTHER_RUN, run_backfill
from data_assets.cli.display import open_display
from data_assets.cli.documents import ImportedFiles, write_document
from data_assets.cli.project import (
    EXIT_OK,
    EXIT_SOME_DAY_DOES_NOT,
    datasets,
    enter_project,
    find_dataset,
    open_instance,
)
from data_assets.counts import count_of
from data_assets.orchestration.day_run import run_source
from data_assets.orchestration.day_states import DONE, NOT_DONE, DayState, states_on_disk
from data_assets.orchestration.partitions import check_day
from data_assets.settings import settings
from data_assets.wiring import open_lake


def import_files(key: str, path: Path, as_json: bool) -> None:
    """Take the files in, say how it ended, and end with 1 if a file was refused, or a day not stored or bad."""
    path = path.absolute()
    enter_project()
    dataset = find_dataset(key)
    if settings().profile != "live":
        raise click.UsageError("files are real data, and the sandbox's lake is synthetic: set DATA_ASSETS_PROFILE=live")
    if (files := dataset.files_of_days) is None:
        known = ", ".join(name for name, each in datasets().items() if each.files_of_days is not None)
        raise click.UsageError(f"{dataset.name} cannot be imported from files; what can: {known}")
    found, no_days = files.find(path)
    of_days, refused = {}, dict(no_days)
    for day, file in found.items():
        try:
            of_days[check_day(str(day), span=dataset.span, of=dataset.name)] = (day, file)
        except ValueError as error:
            refused[file] = str(error)
    with open_instance() as instance:
        lake = open_lake()
        states = states_on_disk(instance, dataset, sorted(of_days), lake)
        skipped = [day for day, state in states.items() if state in DONE]
        days = [day for day, state in states.items() if state in NOT_DONE]
        elsewhere = [day for day, state in states.items() if state is DayState.IN_PROGRESS]
        with open_display(dataset.name, len(days)) as display:
            for file, why in refused.items():
                display.say(f"refused {file.name}: {why}")
            if skipped:
                display.say(f"stored already and skipped: {count_of(len(skipped), 'day')}")
            wanted = dict(of_days[day] for day in days)
            reading = run_source.set(lambda lake, _days: files.open_source(lake, wanted))
            try:
                result = run_backfill(instance, dataset, days, display, lake)
            finally:
                run_source.reset(reading)
            result.not_stored |= dict.fromkeys(elsewhere, LEFT_TO_ANOTHER_RUN)
            display.summary(result.stored, result.not_stored, result.interrupted, ["import", key, str(path)])
    if as_json:
        write_document(ImportedFiles(**vars(result.document()), skipped=skipped, refused=_by_name(refused)))
    sys.exit(EXIT_OK if result.is_whole and not refused else EXIT_SOME_DAY_DOES_NOT)


def _by_name(refused: Mapping[Path, str]) -> dict[str, str]:
    return {str(file): why for file, why in refused.items()}
