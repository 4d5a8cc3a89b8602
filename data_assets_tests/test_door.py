"""What readers import: `from data_assets import ...`, what it costs, and the examples in its docstrings."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import data_assets
from data_assets import Lake, create_views
from data_assets_tests.lake.lake_days import DATASET, DAY, quotes, store
from data_assets_tests.lake.minute_days import day_bars, store_day, store_ib_day

HEAVY = {"dagster", "pandas", "pandas_market_calendars", "ib_async", "httpx", "moto"}


def test_the_door_names_what_readers_use_and_nothing_else() -> None:
    assert dir(data_assets) == sorted(data_assets.__all__)
    assert data_assets.__version__ == version("data-assets")
    with pytest.raises(AttributeError, match="no attribute 'Lakes'"):
        data_assets.Lakes  # noqa: B018


def test_reading_loads_no_dagster_and_no_pandas(tmp_path: Path) -> None:
    """Nor does looking for damage, for which pyarrow is asked about instants."""
    store(Lake(str(tmp_path), synthetic=True), quotes())
    program = (
        "import sys, datetime; from data_assets import Lake, create_views;"
        f"lake = Lake({str(tmp_path)!r}, synthetic=True);"
        f"assert lake.scan({DATASET!r}, {DAY!r}, {DAY!r}, verify=True).collect().height;"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "polars" in loaded
    assert set(loaded) & HEAVY == set()


@pytest.mark.parametrize("documented", [Lake, Lake.bars, Lake.chain, create_views])
def test_the_examples_hold(documented: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake("lake/sandbox", synthetic=True)
    if documented == Lake.bars:
        store_day(lake, DAY, day_bars(DAY, "AAPL"))
        store_ib_day(lake, "AAPL", DAY)
    else:
        store(lake, quotes())
    (example,) = [found for found in doctest.DocTestFinder(recurse=False).find(documented, "example") if found.examples]

    assert doctest.DocTestRunner().run(example).failed == 0
