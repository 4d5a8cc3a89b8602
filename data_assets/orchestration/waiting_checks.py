"""Days on which a check could not tell yet, judged again once enough of their neighbours are stored.

A backfill begins with days that have no neighbours, and a rule that compares days cannot judge them. If nobody ran the
check again, a day with a tenth of its rows would stay green. So a run remembers such days, its own and those that
earlier runs have left near it, and judges each again as soon as it can. The result is one more evaluation of that day,
on the materialization that is recorded.

Here: which days wait, and judging them again. Not here: the rules that wait (`quality`), and their first evaluation
(`day_run`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date

import dagster as dg

from data_assets.lake.errors import passed_over
from data_assets.lake.lake import Lake
from data_assets.orchestration.asset_checks import day_evaluation, latest_materialization, waits_for
from data_assets.orchestration.dataset import MarketDataset
from data_assets.orchestration.integrity import recorded_verdicts
from data_assets.quality.neighbours import NEAR, neighbours
from data_assets.quality.verdict import Verdict

LEFT_BY_EARLIER_RUNS = 40
"""How many stored days around a run are looked at, a look-up each: a run leaves at most a handful waiting."""


class WaitingDays:
    """The days of a dataset on which some check waits for neighbours.

    Args:
        context: the step's context, whose run records the new verdicts.
        dataset: the dataset that is ingested.
        lake: where its files are.
        judged_again: told of the new verdicts on a day.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        dataset: MarketDataset,
        lake: Lake,
        judged_again: Callable[[date, Sequence[Verdict]], object],
    ) -> None:
        self._context, self._dataset, self._lake = context, dataset, lake
        self._judged_again = judged_again
        self._stored: set[date] = set()
        self._waiting: dict[date, dict[str, int]] = {}

    def look_around(self, days: Iterable[date]) -> None:
        """Find waiting days that earlier runs have left near ``days``, which are about to be stored."""
        asked = set(days)
        if not self._dataset.compares or not asked:
            return
        first, last = min(asked), max(asked)
        # Listed once, as far as the neighbours of a day near the run reach; a bucket's listing is a request.
        self._stored = self._dataset.files.held(self._lake, first - 2 * NEAR, last + 2 * NEAR, passed_over) or set()
        near = {day for day in self._stored if first - NEAR <= day <= last + NEAR} - asked
        for day in sorted(near, key=lambda day: max(first - day, day - last))[:LEFT_BY_EARLIER_RUNS]:
            self._keep(
                day,
                {
                    check: waits_for(self._context.instance, self._dataset.asset_key, check, day.isoformat())
                    for check in self._dataset.compares
                },
            )

    def judged(self, day: date, verdicts: Iterable[Verdict]) -> None:
        """Take the verdicts on a day that has been stored, and judge waiting days again that have enough neighbours."""
        self._stored.add(day)
        self._keep(day, {verdict.name: verdict.waits_for for verdict in verdicts})
        for waiting in sorted(self._waiting, reverse=True):
            found = len(neighbours(self._stored, waiting))
            if found >= min(self._waiting[waiting].values()):
                self._judge_again(waiting, found)

    def _judge_again(self, day: date, found: int) -> None:
        key, checks = day.isoformat(), self._waiting[day]
        record = latest_materialization(self._context.instance, self._dataset.asset_key, key)
        verdicts = [] if record is None else recorded_verdicts(record, self._dataset, self._lake, day)
        again = [verdict for verdict in verdicts if verdict.name in checks]
        for verdict in again:
            if not verdict.waits_for:
                self._context.log_event(day_evaluation(self._dataset.asset_key, key, verdict, record))
        self._judged_again(day, [verdict for verdict in again if not verdict.waits_for])
        # A neighbour that is damaged does not count: then it takes one more.
        self._keep(day, {verdict.name: max(verdict.waits_for, found + 1) for verdict in again if verdict.waits_for})

    def _keep(self, day: date, checks: dict[str, int]) -> None:
        if waiting := {check: days for check, days in checks.items() if days}:
            self._waiting[day] = waiting
        else:
            self._waiting.pop(day, None)
