"""Exports as a Dagster component: formats and datasets in, an asset for each export out, by month.

An export is no dataset: nothing of it lies in the lake, and its manifest says what is in its folder. As an asset it is
written again when a day of its month is stored or replaced, but only the files whose days have changed.

Here: the fields of the block, and a run over months. Not here: formats, refusals and manifests (the modules beside).
"""

# No deferred annotations here: Dagster reads the type of a function's `context`.

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field

from data_assets.export.days import DaysRefused, Fault
from data_assets.export.exporting import Exporter, export
from data_assets.export.folder import ExportFolder, ExportRefused
from data_assets.export.formats import ExportAsked, exporter_of
from data_assets.export.manifest import Manifest, ManifestUnreadable
from data_assets.lake.errors import LakeError, LakeUnusable
from data_assets.lake.lake import Lake
from data_assets.orchestration.alerts import run_broke_off, send_alert
from data_assets.orchestration.assets import RECORDED_ALREADY, SYNTHETIC, rebuild_when_days_change, rebuilding_sensor
from data_assets.orchestration.dataset import OWNER, MarketDataset, datasets_of_this_process, is_served, read_owner
from data_assets.orchestration.export_days import found_days, known_span, why_no_days
from data_assets.orchestration.lake_presence import refuse_absent_lake
from data_assets.orchestration.partitions import months, newest_day
from data_assets.orchestration.profile_mark import mark_history
from data_assets.project import project_folder
from data_assets.settings import settings
from data_assets.span import SHIPPED, Span, read_span
from data_assets.trading_calendar import sessions
from data_assets.wiring import exports_folder, open_lake

GROUP = "export"
MONTHS_PER_RUN = 12


class ExportOf(BaseModel):
    """One export: a format, whose days, and how they are to look; what is left out is as of the command."""

    model_config = ConfigDict(extra="forbid")

    engine: Literal["frame", "csv", "lean", "nautilus", "iceberg"] = Field(description="the format")
    dataset: str = Field(description="whose days, such as polygon/minute_aggs")
    ticker: str | None = Field(default=None, description="of a dataset of many tickers, whose bars")
    name: str | None = Field(
        default=None, description="of the asset, below export; default: the format, the dataset and the ticker"
    )
    into: str | None = Field(
        default=None,
        description="the folder, from the project's on where it is relative; default: exports/<profile>/<engine>",
    )
    allow: list[Literal["missing", "failed", "hole", "check"]] = Field(
        default_factory=list, description="what is tolerated of days"
    )
    label: Literal["start", "end"] | None = Field(default=None, description="of bars: by their start or their end")
    zone: str | None = Field(default=None, description="of bars: the zone of their timestamps")
    hours: Literal["regular", "extended"] | None = Field(default=None, description="of bars: of which hours")
    every: Literal["1m", "5m", "15m", "30m"] | None = Field(default=None, description="of bars: their length")
    grid: bool | None = Field(default=None, description="a row for each bar of the session")
    fill: bool | None = Field(default=None, description="on the grid, carry the last close on")

    @property
    def key(self) -> list[str]:
        """Of the asset."""
        if self.name is not None:
            return [GROUP, self.name]
        ticker = [self.ticker.replace(" ", ".")] if self.ticker else []
        return [GROUP, self.engine, *self.dataset.split("/"), *ticker]

    def exporter(self) -> Exporter:
        """What writes it.

        Raises:
            ValueError: the format does not take it, or the name is none.
        """
        if self.name is not None and not re.fullmatch(r"[\w.-]+", self.name):
            raise ValueError(f"name {self.name!r}: letters, digits, '_', '.' and '-' only")
        names = ("label", "zone", "hours", "every", "grid", "fill")
        shape = {name: value for name in names if (value := getattr(self, name)) is not None}
        try:
            return exporter_of(ExportAsked(self.engine, self.dataset, self.ticker, shape))
        except ValueError as error:
            raise ValueError(f"{'/'.join(self.key)}: {str(error).replace('--', '')}") from None


class Exports(dg.Component, dg.Model, dg.Resolvable):
    """Days of the lake in the form of backtest engines, kept up to date month by month."""

    exports: list[ExportOf] = Field(description="what is exported")
    owner: str | None = Field(default=None, description=OWNER)
    first_day: str | None = Field(default=None, description="YYYY-MM-DD: first day; default: 2016-08-04")
    last_day: str | None = Field(default=None, description="YYYY-MM-DD: last day; default: none")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Make an asset for each export, and the sensor that has their months written.

        Raises:
            ValueError: a value makes no sense; the text names it.
        """
        span, owner = read_span(self.first_day, self.last_day, SHIPPED), read_owner(self.owner)
        if not self.exports:
            raise ValueError("exports is empty: there is nothing to export")
        named = Counter("/".join(each.key) for each in self.exports)
        if twice := [key for key, count in named.items() if count > 1]:
            raise ValueError(f"exports has {twice[0]} twice: give one a name, and a folder of its own with into")
        exports = [each for each in self.exports if is_served(each.dataset.partition("/")[0])]
        if not exports:
            return dg.Definitions()
        assets = [export_asset(each, each.exporter(), span, owner) for each in exports]
        return dg.Definitions(
            assets=assets,
            sensors=[
                rebuilding_sensor(
                    f"write_exports_{context.path.name}",
                    [asset.key for asset in assets],
                    "Writes a month of an export again once its days have been stored or replaced.",
                )
            ],
        )


def export_asset(asked: ExportOf, exporter: Exporter, span: Span, owner: str | None = None) -> dg.AssetsDefinition:
    """The asset of one export."""
    synthetic = settings().profile == "sandbox"
    what = asked.dataset if exporter.ticker is None else f"the bars of {exporter.ticker} from {asked.dataset}"
    mapping = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)

    @dg.asset(  # type: ignore[call-overload]
        key=dg.AssetKey(asked.key),
        description=(
            f"Writes {what} as {asked.engine} files for backtests. A month is written again when one of its days is "
            "stored or replaced; one with days that are missing, failed, holes or red on a check fails and names them, "
            "and its files stay as they were." + (SYNTHETIC if synthetic else "")
        ),
        group_name=GROUP,
        owners=[owner] if owner else None,
        kinds={asked.engine, *(["synthetic"] if synthetic else [])},
        tags={"data_assets/profile": settings().profile},
        pool=GROUP,
        partitions_def=months(span),
        deps=[dg.AssetDep(dg.AssetKey(asked.dataset.split("/")), partition_mapping=mapping)],
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MONTHS_PER_RUN),
        automation_condition=rebuild_when_days_change(),
        dagster_type=dg.Nothing,  # no value between assets: files are in the folder
    )
    def exported(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        mark_history(context.instance)
        try:
            lake = open_lake()
            refuse_absent_lake(context.instance, lake)
            work = _Work(context, asked, exporter, lake, span)
            if failed := [why for key in context.partition_keys if (why := work.month(key))]:
                raise dg.Failure("\n".join(failed), allow_retries=False)
        except Exception as error:
            why = error.description if isinstance(error, dg.Failure) else str(error)
            send_alert(run_broke_off("/".join(asked.key), context.run.run_id, why), context.log.warning)
            raise
        yield dg.Output(None, metadata=RECORDED_ALREADY)

    return exported


@dataclass(frozen=True)
class _Work:
    """A run over months of one export."""

    context: dg.AssetExecutionContext
    asked: ExportOf
    exporter: Exporter
    lake: Lake
    span: Span

    def month(self, key: str) -> str | None:
        """Write one month and record it; return why it was not, one line."""
        first = date.fromisoformat(key)
        try:
            dataset = self._dataset()
            days = self._days(dataset, first)
            folder = ExportFolder(exports_folder(self.asked.engine, self._into()), self.lake)
            manifest = export(
                self.exporter,
                self.lake,
                days,
                partial(found_days, self.context.instance, dataset, self.lake),
                folder,
                allow=[Fault(name) for name in self.asked.allow],
                only_changed=True,
            )
        except LakeUnusable:
            raise
        except (DaysRefused, ExportRefused, ManifestUnreadable, LakeError) as error:
            why = f"{first:%Y-%m}: {' '.join(str(error).split())}"
            self.context.log.error(why)
            return why
        self.context.log_event(
            dg.AssetMaterialization(
                asset_key=self.context.asset_key, partition=key, metadata=_metadata(manifest, days, folder)
            )
        )
        return None

    def _into(self) -> Path | None:
        return None if self.asked.into is None else project_folder() / Path(self.asked.into).expanduser()

    def _dataset(self) -> MarketDataset:
        """The dataset; blocks are loaded in any order, so only a run can tell that none defines it."""
        if (dataset := datasets_of_this_process.get(self.asked.dataset)) is None:
            raise ExportRefused(f"no block of the project defines {self.asked.dataset}: see data-assets list")
        if why := why_no_days(dataset, datasets_of_this_process.values()):
            raise ExportRefused(why)
        return dataset

    def _days(self, dataset: MarketDataset, first: date) -> list[date]:
        """The month's days between the first one of the dataset that is stored or was tried and the last.

        Raises:
            ExportRefused: there is none.
        """
        span = known_span(self.context.instance, dataset, self.lake)
        bounds = (span[0], min(span[1], newest_day())) if span else (date.max, date.min)
        of_month = sessions(first, first.replace(day=monthrange(first.year, first.month)[1]))
        days = [day for day in of_month if day in self.span and bounds[0] <= day <= bounds[1]]
        if not days:
            raise ExportRefused(
                f"the lake {self.lake.url} holds no day of {self.asked.dataset} around it; "
                f"run: data-assets backfill {self.asked.dataset} --from {first:%Y-%m} --to {first:%Y-%m}"
            )
        return days


def _metadata(manifest: Manifest, days: Sequence[date], folder: ExportFolder) -> dict[str, Any]:
    """What is shown of a month, from the manifest's records of its days."""
    records = [each for day in days if (each := manifest.day(day)) is not None]
    counts: Counter[str] = Counter()
    for each in records:
        counts.update({f"rounded {name}": count for name, count in each.rounded.items()})
        counts.update({f"left out, {why}": count for why, count in each.left_out.items()})
        counts.update({f"days tolerated, {fault}": 1 for fault in each.allowed})
    path = folder.manifest_path(manifest.engine, manifest.dataset, manifest.ticker)
    return {
        "days": len([each for each in records if each.files]),
        "rows": sum(each.rows for each in records),
        "folder": dg.MetadataValue.path(folder.path),
        "manifest": dg.MetadataValue.path(path),
        **counts,
    }
