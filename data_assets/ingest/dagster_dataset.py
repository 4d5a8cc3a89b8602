"""What one dataset is to Dagster: its name, its source, its checks.

Here: `MarketDataset`, a plain description. Not here: the asset made of it (`dagster_assets`), what happens inside a run
(`dagster_days`, `dagster_verify`), and what any vendor does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date

import dagster as dg

from data_assets.ingest.source import Source
from data_assets.lake.lake import Lake
from data_assets.quality.verdict import Verdict


@dataclass(frozen=True)
class MarketDataset:
    """One dataset, before it becomes an asset.

    Attributes:
        key: asset key segments, such as ("theta", "option_quotes", "QQQ"); the first is the vendor: group and pool.
        description: Markdown for the UI.
        columns: column name -> (type, meaning with unit).
        checks: check name -> what it verifies, in one line.
        open_source: for one run, a source that writes to the given lake; opening it starts what the profile needs.
        evaluate: the verdicts on a stored day, one per name in `checks` (apart from `integrity`), read from the lake.
        max_concurrency: most days in flight at once.
        typical_day_bytes: what a day takes on disk, for the disk-space preflight.
        kinds: badges in the UI.
        metadata: static facts for the asset's page.
    """

    key: tuple[str, ...]
    description: str
    columns: Mapping[str, tuple[str, str]]
    checks: Mapping[str, str]
    open_source: Callable[[Lake], AbstractAsyncContextManager[Source]]
    evaluate: Callable[[Lake, date], Iterable[Verdict]]
    max_concurrency: int
    typical_day_bytes: int
    kinds: frozenset[str] = frozenset({"parquet"})
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The key as text: `theta/option_quotes/QQQ`."""
        return "/".join(self.key)

    @property
    def asset_key(self) -> dg.AssetKey:
        """The key as Dagster's."""
        return dg.AssetKey(list(self.key))

    @property
    def vendor(self) -> str:
        """The vendor: the group in the UI, and the pool that one ingest step at a time may hold."""
        return self.key[0]
