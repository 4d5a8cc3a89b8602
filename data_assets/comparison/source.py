"""A day of a comparison, made from two stored days; the source of its runs.

Here: reading the inputs that are there, and storing the result with what it was made from. Not here: what is compared
(`comparisons`), and when a day is made again (`component`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import date
from time import perf_counter

import polars as pl

from data_assets.comparison.comparisons import Comparison
from data_assets.ingest.lake_errors import ending_of
from data_assets.ingest.outcome import DayEnded, NoData
from data_assets.ingest.source import DayMeter, StagedDay
from data_assets.ingest.staged_day import StagedDayFile
from data_assets.lake.errors import LakeError
from data_assets.lake.lake import Lake
from data_assets.lake.provenance import Provenance
from data_assets.trading_calendar import utc_now

SCHEMA_VERSION = 1
INPUTS = "inputs"
"""In a footer's details: the version of each input that the day was made from."""


def input_versions(lake: Lake, comparison: Comparison, days: Sequence[date]) -> dict[date, dict[str, str]]:
    """The versions of the inputs of those of some days that all inputs hold."""
    of_inputs = {name: lake.day_versions(name, days) for name in comparison.inputs}
    return {
        day: {name: versions[day] for name, versions in of_inputs.items()}
        for day in days
        if all(day in versions for versions in of_inputs.values())
    }


class ComparedDays:
    """Days of a comparison; implements ``ingest.source.Source``."""

    def __init__(self, comparison: Comparison, *, lake: Lake) -> None:
        """Bind a comparison to the lake with its inputs and for its days."""
        self._comparison, self._lake = comparison, lake

    async def wait_until_up(self) -> None:
        """See ``Source``: there is no vendor to wait for."""

    async def fetch(self, day: date, meter: DayMeter) -> StagedDay:
        """See ``Source``."""
        try:
            staged = await asyncio.to_thread(self._stage, day)
        except LakeError as error:
            raise ending_of(error) from error
        meter.parsed(int(staged.metadata["minutes_compared"]))
        return staged

    def _stage(self, day: date) -> StagedDayFile:
        started = perf_counter()
        comparison = self._comparison
        versions = input_versions(self._lake, comparison, [day]).get(day)
        if versions is None:
            lacking = [name for name in comparison.inputs if not self._lake.day_versions(name, [day])]
            command = f"data-assets backfill {' '.join(lacking)} --from {day} --to {day}"
            raise DayEnded(NoData(f"the lake lacks the day of {' and '.join(lacking)}; run: {command}"))
        rows = comparison.compare(self._lake, day)
        if rows.is_empty():
            raise DayEnded(
                NoData(f"{' and '.join(comparison.inputs)} have nothing to be compared: {comparison.nothing}")
            )
        metrics = comparison.metrics(rows)
        schema = rows.head(0).to_arrow().schema
        with self._lake.writer(comparison.dataset, day, schema, ["timestamp"]) as writer:
            writer.write(rows)
            made_of = "".join(f"{name} {version}\n" for name, version in sorted(versions.items()))
            file = writer.finish(
                Provenance(
                    dataset=comparison.dataset,
                    day=day,
                    source=", ".join(comparison.inputs),
                    fetched_at=utc_now(),
                    schema_version=SCHEMA_VERSION,
                    raw_sha256=hashlib.sha256(made_of.encode()).hexdigest(),
                    raw_size=len(made_of),
                    synthetic=self._lake.synthetic,
                    details={INPUTS: versions, **metrics},
                )
            )
        metadata = {
            **metrics,
            "minutes_compared": rows.height,
            "seconds": round(perf_counter() - started, 3),
        }
        return StagedDayFile(file, metadata)


def stored_rows(lake: Lake, comparison: Comparison, day: date) -> pl.DataFrame:
    """The rows of a stored day, every page checked."""
    return pl.concat(lake.batches(comparison.dataset, day))
