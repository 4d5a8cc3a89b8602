"""`add` asks the vendor, and changes nothing in the project's blocks but what it was asked for."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml

from data_assets.cli.block_edits import AlreadyThere, ib_ticker, polygon_ticker
from data_assets.cli.project import datasets, definitions
from data_assets.orchestration.partitions import partition_keys
from data_assets.project import mount_defs
from data_assets.sandbox.tws.serving import SandboxTws
from data_assets.vendors.ib.contracts import read_tickers
from data_assets_tests.cli.called import Call
from data_assets_tests.end_to_end.ib_project import last_asked_long_ago, live_ib
from data_assets_tests.orchestration.in_process import in_process_project, open_project
from data_assets_tests.permissions import closed
from data_assets_tests.vendors.polygon.flat_file_project import flat_file_project

POLYGON, IB = "polygon/minute_aggs/defs.yaml", "ib/bars_1m/tickers.csv"


def files(project: Path) -> dict[str, bytes]:
    """All that lies under `defs`, without what Python leaves there."""
    defs = project / "defs"
    return {
        str(path.relative_to(defs)): path.read_bytes()
        for path in sorted(defs.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def loaded() -> set[str]:
    """The datasets as the next process would find them."""
    definitions.cache_clear()
    datasets.cache_clear()
    mount_defs()
    return {*datasets()}


def test_a_history_of_theta_gets_a_block_from_the_first_day_of_the_plan(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, tier="value", symbols=["QQQ", "IWM", "SPX", "SPXW"]) as project:
        before = files(tmp_path)
        ended = call("add", "theta", "iwm", "quotes")
        assert ended.code == 0, ended.stderr
        added = "theta/option_quotes_iwm/defs.yaml"
        after = files(tmp_path)
        assert {name for name in after if after[name] != before.get(name)} == {added}
        block = yaml.safe_load(after[added])
        assert block["attributes"] == {"dataset": "quotes", "symbol": "IWM", "first_day": date(2020, 1, 2)}
        assert "theta/option_quotes/IWM" in loaded()
        assert datasets()["theta/option_quotes/IWM"].span.first_day == date(2020, 1, 2)
        assert project.instance.get_runs() == []

        lines = ended.stdout.splitlines()
        assert "  data-assets backfill theta/option_quotes/IWM" in lines
        plan = call(*next(line for line in lines if "data-assets plan" in line).split()[1:], "--days", "1")
        assert plan.code == 0, plan.stderr

        asked = len(project.theta.requests)
        for symbol in ("IWM", "QQQ"):  # its own, and one that came with the project
            again = call("add", "theta", symbol, "quotes")
            assert (again.code, again.stderr) == (0, "")
            assert "already; nothing was changed" in again.stdout
        assert len(project.theta.requests) == asked
        assert files(tmp_path) == after

        for symbol, history, says in (("GME", "quotes", "NoData"), ("IWM", "greeks", "your plan includes no day")):
            refused = call("add", "theta", symbol, history)
            assert (refused.code, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
            assert says in refused.stderr
        assert files(tmp_path) == after


def test_a_ticker_of_polygon_is_put_at_the_end_of_the_list(tmp_path: Path, call: Call) -> None:
    with flat_file_project(tmp_path, [partition_keys()[-3]]) as project:
        offered = call("offers", "polygon/minute_aggs", partition_keys()[-3], "--json").document["names"]
        before = files(tmp_path)
        listed = before[POLYGON].decode()
        ticker = next(name for name in offered if f"- {name}\n" not in listed and f"ticker: {name}," not in listed)
        ended = call("add", "polygon", ticker)
        assert ended.code == 0, ended.stderr
        assert "`liquid` is the same list" in ended.stdout
        assert "  data-assets backfill polygon/minute_aggs" in ended.stdout.splitlines()
        last = "    - {ticker: TSLA, first_day: 2010-06-29}\n"
        after = {**before, POLYGON: listed.replace(last, f"{last}    - {ticker}\n").encode()}
        assert files(tmp_path) == after
        assert "polygon/minute_aggs" in loaded()

        requests = len(project.bucket.requests)
        for known in (ticker, "FB"):
            assert "already; nothing was changed" in call("add", "polygon", known).stdout
        assert len(project.bucket.requests) == requests
        assert "already; nothing was changed" in call("add", "polygon", "spy").stdout
        assert len(project.bucket.requests) == requests
        day = partition_keys()[-3]
        for written, says in (
            ("KOOOO", f"KOOOO is not in Polygon's file of {day}; nothing"),
            ("tslaa", f"tslaa is not in Polygon's file of {day} (did you mean TSLA"),
            ("abrpa", "abrpa may be ABRPA or ABRpA (the case matters: write it as Polygon does)"),
        ):
            unknown = call("add", "polygon", written)
            assert (unknown.code, unknown.stderr.count("\n")) == (1, 1)
            assert says in unknown.stderr
        assert files(tmp_path) == after
        for written, meant in (("aapb", "AApB"), ("brk.b", "BRK.B"), ("ABRpA", "ABRpA")):
            ended = call("add", "polygon", written)
            assert (ended.code, ended.stdout.split()[0]) == (0, meant), ended.stderr
        assert files(tmp_path)[POLYGON].decode().count("    - AApB\n    - BRK.B\n    - ABRpA\n") == 1


def test_a_root_of_another_dataset_is_no_dataset_of_its_own(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, symbols=["SPX", "SPXW", "NDX", "NDXP"]) as project:
        before = files(tmp_path)
        ended = call("add", "theta", "SPXW", "quotes")
        assert (ended.code, ended.stderr) == (0, "")
        assert ended.stdout == (
            "SPXW is a root of theta/option_quotes/SPX in defs/theta/option_quotes_spx/defs.yaml; nothing was changed\n"
        )
        assert files(tmp_path) == before
        assert not project.theta.requests
        assert "too, and is downloaded twice" not in call("add", "theta", "NDXP", "quotes").stdout
        both = call("add", "theta", "NDX", "quotes").stdout
    assert (
        "NDXP is in theta/option_quotes/NDXP too, and is downloaded twice: remove "
        "defs/theta/option_quotes_ndxp/defs.yaml\n" in both
    )


def test_the_sandbox_says_that_a_simulator_was_asked(tmp_path: Path, call: Call) -> None:
    with open_project(tmp_path, DATA_ASSETS_PROFILE="sandbox"):
        before = files(tmp_path)
        unknown = call("add", "polygon", "kooo")
        assert (unknown.code, unknown.stderr.count("\n")) == (1, 1)
        assert "kooo is not in the simulator's file of" in unknown.stderr
        assert "in the live profile Polygon is asked" in unknown.stderr
        refused = call("add", "theta", "NOSUCH", "quotes")
        assert refused.stderr.startswith("Error: theta/option_quotes/NOSUCH: not added, as the simulator says: ")
        assert files(tmp_path) == before

        assert call("add", "polygon", "ko").stdout.startswith("KO is in defs/polygon/minute_aggs/defs.yaml now\n")
        ended = call("add", "theta", "IWM", "greeks")
        assert "  from 2017-01-03 on, the first day that the simulator has and your plan includes\n" in ended.stdout
        assert "    data-assets doctor theta/option_greeks/IWM\n" in ended.stdout
        block = yaml.safe_load((tmp_path / "defs/theta/option_greeks_iwm/defs.yaml").read_text())
    assert block["attributes"]["first_day"] == date(2017, 1, 3)


def test_a_symbol_of_ib_gets_a_row(tmp_path: Path, call: Call) -> None:
    last_asked_long_ago(tmp_path)
    with SandboxTws(pacing_scale=0, says_synthetic=False) as tws, open_project(tmp_path, **live_ib(tws)):
        before = files(tmp_path)
        ended = call("add", "ib", "NVDA")
        assert ended.code == 0, ended.stderr
        after = files(tmp_path)
        assert after == {**before, IB: before[IB] + b"NVDA,STK,SMART,USD,\n"}
        assert "ib/bars_1m/NVDA" in loaded()
        assert "already; nothing was changed" in call("add", "ib", "nvda").stdout
        unknown = call("add", "ib", "NOSUCH")
        assert (unknown.code, unknown.stdout, unknown.stderr.count("\n")) == (1, "", 1)
        assert "not added: TWS knows no STK NOSUCH on SMART in USD; nothing was changed" in unknown.stderr
        assert files(tmp_path) == after

        several = call("add", "ib", "GLD")  # in dollars in New York, and in London
        assert (several.code, several.stdout, several.stderr.count("\n")) == (1, "", 1)
        assert several.stderr.endswith("listed on ARCA, LSEETF; name the one that is meant, by --primary-exchange\n")
        for exchange, says in (("NYSE", "GLD"), ("LSEETF", "only stocks of US exchanges")):
            wrong = call("add", "ib", "GLD", "--primary-exchange", exchange)
            assert (wrong.code, wrong.stderr.count("\n"), says in wrong.stderr) == (1, 1, True)
            assert "row" not in wrong.stderr  # of a list that does not have it
        assert files(tmp_path) == after
        of_arca = call("add", "ib", "GLD", "--primary-exchange", "arca", "--json")
        assert of_arca.document == {
            "dataset": "ib/bars_1m/GLD",
            "added": True,
            "files": [f"defs/{IB}"],
            "first_day": None,
            "note": "",
        }
        assert files(tmp_path)[IB] == after[IB] + b"GLD,STK,SMART,USD,ARCA\n"
        assert "ib/bars_1m/GLD" in loaded()
        assert not call("add", "ib", "GLD", "--json").document["added"]


def test_a_call_that_is_wrong_changes_nothing(tmp_path: Path, call: Call) -> None:
    with open_project(tmp_path, THETA_BASE_URL="http://127.0.0.1:9/v3", POLYGON_TICKERS="SPY"):
        before = files(tmp_path)
        for arguments, says, code in (
            (("theta", "IWM"), "say which history of IWM", 2),
            (("ib", "IWM", "quotes"), "leave it out", 2),
            (("cboe", "IWM"), "cboe", 2),
            (("polygon", "KO", "--primary-exchange", "NYSE"), "--primary-exchange is for symbols of ib", 2),
            (("ib", "IWM", "--primary-exchange", "A-B"), "listing exchange", 2),
            (("theta", "../IWM", "quotes"), "is no option root", 2),
            (("ib", "IWM,STK"), "tickers.csv", 2),
            (("ib", "#IWM"), "it is no symbol", 2),
            (("ib", "IWM\nSPY"), "is no symbol", 2),
            (("polygon", "KO"), "POLYGON_TICKERS", 2),
            (("theta", "IWM", "quotes"), "start it with `java -jar", 1),
        ):
            ended = call("add", *arguments)
            assert (ended.code, ended.stdout) == (code, ""), arguments
            assert says in ended.stderr
            assert ended.stderr.count("\n") == 1
        assert files(tmp_path) == before


TYPE = "type: data_assets.vendors.polygon.component.PolygonMinuteAggs\nattributes:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  tickers: [SPY, QQQ]  # two\n  liquid: [SPY]\n", "  tickers: [SPY, QQQ, KO]  # two\n  liquid: [SPY]\n"),
        (
            "  tickers:\n  - SPY  # one\n\n  # next\n  liquid: [SPY]",
            "  tickers:\n  - SPY  # one\n  - KO\n\n  # next\n  liquid: [SPY]",
        ),
        ("  liquid: &x\n    - SPY\n  tickers: *x", "  liquid: &x\n    - SPY\n    - KO\n  tickers: *x"),
        ("  liquid: [SPY]\n  tickers:\r\n    - SPY\r\n", "  liquid: [SPY]\n  tickers:\r\n    - SPY\r\n    - KO\r\n"),
        ("  liquid: [SPY]\n  tickers:\n    - SPY", "  liquid: [SPY]\n  tickers:\n    - SPY\n    - KO\n"),
        (
            "  tickers:\n    - ticker: META\n      was: FB\n# end\n  liquid: [SPY]\n",
            "  tickers:\n    - ticker: META\n      was: FB\n    - KO\n# end\n  liquid: [SPY]\n",
        ),
    ],
)  # fmt: skip
def test_a_list_of_any_form_keeps_it(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "defs.yaml").write_bytes((TYPE + text).encode())
    added = polygon_ticker(tmp_path, "KO")
    assert added.changed == {"defs.yaml": (TYPE + expected).encode()}
    assert bool(added.note) == ("*x" in text)
    quoted = polygon_ticker(tmp_path, "ON").changed["defs.yaml"].decode()
    assert yaml.safe_load(quoted)["attributes"]["tickers"][-1] == "ON"


def test_all_tickers_are_all(tmp_path: Path) -> None:
    (tmp_path / "defs.yaml").write_text(f"{TYPE}  tickers: all\n  liquid: [SPY]\n")
    with pytest.raises(AlreadyThere, match="all tickers"):
        polygon_ticker(tmp_path, "KO")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_row_is_written_as_the_spreadsheet_writes(tmp_path: Path, encoding: str) -> None:
    block = "type: data_assets.vendors.ib.component.IbMinuteBars\nattributes:\n  tickers_file: mine.csv\n"
    (tmp_path / "defs.yaml").write_text(block)
    text = "sep=;\r\nCurrency;Symbol;Sec Type;Exchange;;\r\nUSD;AAPL;STK;SMART  # mine"
    (tmp_path / "mine.csv").write_bytes(text.encode(encoding))
    changed = ib_ticker(tmp_path, "RIVN", date(2021, 11, 10)).changed["mine.csv"]
    assert changed.decode(encoding) == text.replace("Exchange;;", "Exchange;first_day") + (
        "\r\nUSD;RIVN;STK;SMART;2021-11-10\r\n"
    )
    (tmp_path / "mine.csv").write_bytes(changed)
    assert [(each.symbol, each.first_day) for each in read_tickers(tmp_path / "mine.csv")] == [
        ("AAPL", ""),
        ("RIVN", "2021-11-10"),
    ]


def test_a_folder_that_takes_nothing_is_one_line(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, symbols=["IWM"]):
        before = files(tmp_path)
        with closed(tmp_path / "defs" / "theta", mode=0o500):
            ended = call("add", "theta", "IWM", "quotes")
        assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
        assert files(tmp_path) == before


def test_it_says_nothing_but_its_own_words(tmp_path: Path) -> None:
    """In a process of its own: Dagster's warnings of its preview features are told once in a process, or not at all."""
    executable = Path(sys.executable).with_name("data-assets")
    subprocess.run([executable, "init", tmp_path / "project"], check=True, capture_output=True)
    ended = subprocess.run([executable, "add", "ib", "AAPL"], cwd=tmp_path / "project", capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "ib/bars_1m/AAPL is in defs already; nothing was changed\n"
