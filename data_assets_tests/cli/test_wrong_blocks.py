"""A block under `defs/` that says something wrong is one line, and the other datasets go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pytest

from data_assets.cli import blocks
from data_assets.cli.blocks import load_blocks
from data_assets.cli.project import datasets_alone
from data_assets.orchestration import assets as dagster_assets
from data_assets.orchestration.dataset import MarketDataset
from data_assets_tests.end_to_end.project_folder import write_project

THETA = "type: data_assets.vendors.theta.component.ThetaDataset\nattributes:\n  dataset: quotes\n"
GOOD = THETA + "  symbol: IWM\n"
PARITY = (
    "type: data_assets.comparison.component.CrossVendor\nattributes:\n  options:\n"
    "    - root: SPY\n      options: theta/option_quotes/SPY\n    - root: QQQ\n"
)
WRONG = {
    "value": (THETA + "  symbol: gme\n", "attributes.symbol at defs.yaml:4: String should match pattern"),
    "name": (THETA + "  symbol: GME\n  colour: 1\n", "attributes.colour at defs.yaml:5: Extra inputs"),
    "sense": (THETA + "  symbol: GME\n  interval: 7m\n", "interval '7m': must be one of 1s"),
    "ON": (
        THETA + "  symbol: ON\n",
        "attributes.symbol at defs.yaml:4: put it into quotes, because YAML reads it as True",
    ),
    "clock": (THETA + "  symbol: GME\n  end_time: 16:00:00\n", "end_time at defs.yaml:5: put it into quotes, because"),
    "type": ("type: data_assets.vendors.theta.component.ThetaDatset\n", "no attribute `ThetaDatset`"),
    "module": ("type: data_asets.Dataset\n", "data_asets"),
    "yaml": ("type: [\n", 'in "defs.yaml", line 2'),
    "owner": (THETA + "  symbol: GME\n  owner: ann@corp.internal\n", "owner: 'ann@corp.internal' is neither team:name"),
    "compared": (PARITY + "      options: theta/option_quotes/*\n", '"theta_option_quotes_*" is not a valid name'),
    "with itself": (PARITY + "      options: quality/parity/QQQ\n", "quality/parity/QQQ"),
    "empty": ("", "No components found"),
    "text": ("nonsense\n", "at defs.yaml:1: Input should be an object"),
}


@pytest.fixture(autouse=True, params=["with assets", "alone"])
def datasets_of_this_test(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is wrong is the same for a command that runs something and for one that only looks at days."""
    monkeypatch.setattr(dagster_assets, "datasets_of_this_process", {})
    with datasets_alone() if request.param == "alone" else nullcontext():
        yield


def names(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    text, says = WRONG[wrong]
    package = f"project_with_wrong_{wrong}"
    for folder, block in (("iwm", GOOD), ("theta/wrong", text)):
        (tmp_path / package / "defs" / folder).mkdir(parents=True)
        (tmp_path / package / "defs" / folder / "defs.yaml").write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))

    defs, (line,) = load_blocks(f"{package}.defs")

    assert names(defs) == {"theta/option_quotes/IWM"}
    assert line.startswith("defs/theta/wrong/defs.yaml: ")
    assert says in line
    assert "\n" not in line
    assert str(tmp_path) not in line


def test_a_wrong_block_leaves_the_others_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project_of_two" / "defs").mkdir(parents=True)
    (tmp_path / "project_of_two" / "defs" / "defs.yaml").write_text(f"{WRONG['value'][0]}---\n{GOOD}")
    monkeypatch.syspath_prepend(str(tmp_path))

    defs, wrong = load_blocks("project_of_two.defs")

    assert (names(defs), len(wrong)) == ({"theta/option_quotes/IWM"}, 1)


IB = "type: data_assets.vendors.ib.component.IbMinuteBars\nattributes:\n  tickers_file: tickers.csv\n"
ROWS = "symbol,secType,exchange,currency,first_day\nAAPL,STK,SMART,USD,\nMSFT,STK,SMART,USD,2024-02-30\n"


def test_a_block_left_out_leaves_no_dataset_of_it_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows before the wrong one had made theirs: a dataset without an asset ends the command that touches it."""
    datasets: dict[str, MarketDataset] = {}
    for module in (dagster_assets, blocks):
        monkeypatch.setattr(module, "datasets_of_this_process", datasets)
    for folder, block in (("ib", IB), ("iwm", GOOD)):
        (tmp_path / "project_of_rows" / "defs" / folder).mkdir(parents=True)
        (tmp_path / "project_of_rows" / "defs" / folder / "defs.yaml").write_text(block)
    (tmp_path / "project_of_rows" / "defs" / "ib" / "tickers.csv").write_text(ROWS)
    monkeypatch.syspath_prepend(str(tmp_path))

    defs, (line,) = load_blocks("project_of_rows.defs")

    assert "tickers.csv row 3, column first_day '2024-02-30' is not a date" in line
    assert names(defs) == set(datasets) == {"theta/option_quotes/IWM"}


@pytest.mark.parametrize("again", ["folder", "file"])
def test_a_block_copied_without_another_symbol_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """Of one asset in two blocks Dagster takes none of all the blocks."""
    datasets: dict[str, MarketDataset] = {}
    for module in (dagster_assets, blocks):
        monkeypatch.setattr(module, "datasets_of_this_process", datasets)
    package = f"project_with_a_copied_{again}"
    repeated = f"{THETA}  symbol: IWM\n  first_day: 2020-01-02\n"
    files = {"folder": {"a_iwm": GOOD, "b_iwm": repeated}, "file": {"a_iwm": f"{GOOD}---\n{repeated}"}}[again]
    for folder, block in {**files, "c_spy": THETA + "  symbol: SPY\n"}.items():
        (tmp_path / package / "defs" / folder).mkdir(parents=True)
        (tmp_path / package / "defs" / folder / "defs.yaml").write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))

    defs, (line,) = load_blocks(f"{package}.defs")

    assert "theta/option_quotes/IWM is defined by defs/a_iwm/defs.yaml already: name another symbol here" in line
    assert line.startswith("defs/b_iwm" if again == "folder" else "defs/a_iwm")
    assert names(defs) == set(datasets) == {"theta/option_quotes/IWM", "theta/option_quotes/SPY"}
    assert datasets["theta/option_quotes/IWM"].span.first_day.year == 2012


def test_two_blocks_whose_folders_have_one_name_do_not_share_a_sensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster would take none of all the blocks."""
    compared = "type: data_assets.comparison.component.CrossVendor\nattributes:\n  bars: [{}]\n"
    for folder, block in (("a/q", compared.format("AAPL")), ("b/q", compared.format("MSFT")), ("iwm", GOOD)):
        (tmp_path / "project_of_q" / "defs" / folder).mkdir(parents=True)
        (tmp_path / "project_of_q" / "defs" / folder / "defs.yaml").write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))

    defs, (line,) = load_blocks("project_of_q.defs")

    assert line == (
        "defs/b/q/defs.yaml: sensor compare_vendors_q is defined by defs/a/q/defs.yaml already: give its folder "
        "another name, or remove one of the two"
    )
    assert "quality/cross_vendor/MSFT" not in names(defs)


# Its work is done in processes of its own, which choose by themselves.
@pytest.mark.parametrize("datasets_of_this_test", ["with assets"], indirect=True)
def test_the_command_works_on_the_other_datasets(tmp_path: Path) -> None:
    block = write_project(tmp_path) / "defs/theta/option_quotes_spx/defs.yaml"
    block.write_text(block.read_text().replace("interval: 1m", "interval: 7m"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        ours = ("DAGSTER_", "DATA_ASSETS_", "THETA_")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return subprocess.run(
            [Path(sys.executable).with_name("data-assets"), *arguments],
            cwd=tmp_path,
            env={**outside, "DATA_ASSETS_SANDBOX_CONTRACTS": "8"},
            capture_output=True,
            text=True,
            check=False,
        )

    qqq = "theta/option_quotes/QQQ"
    says = "Error: defs/theta/option_quotes_spx/defs.yaml: interval '7m': must be one of"
    filled = run("backfill", qqq, "--from", "2024-01-03", "--to", "2024-01-03", "--json")
    assert filled.returncode == 0, filled.stderr
    assert sum(line.startswith(says) for line in filled.stderr.splitlines()) == 1
    for arguments, code in ((("status",), 1), (("status", qqq), 0), (("status", "theta/option_quotes/SPX"), 2)):
        ended = run(*arguments, "--json")
        assert ended.returncode == code, ended
        assert ended.stderr.startswith(says)
        assert (qqq in ended.stdout) == (code < 2)
    tickers = ["ib/bars_1m/AAPL", "ib/bars_1m/GOOGL", "ib/bars_1m/MSFT"]
    for keys, named in (
        (("group:ib",), tickers),
        ((qqq, "group:ib"), [qqq, *tickers]),
    ):  # a look at all assets after all
        ended = run("gaps", *keys, "--days", "1", "--json")
        assert ended.returncode == 1, ended
        assert list(json.loads(ended.stdout)) == named
        assert sum(line.startswith(says) for line in ended.stderr.splitlines()) == 1
