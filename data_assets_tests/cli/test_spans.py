"""The command over datasets that begin and end on different days: what it shows, counts and asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from data_assets.orchestration.partitions import partition_keys
from data_assets_tests.end_to_end.project_folder import (
    ALL_STORED,
    open_days,
    write_project,
)

OLD, SHORT = "theta/option_quotes/SPY", "theta/option_quotes/IWM"
FLAT_FILES, BARS, MONTHS = "polygon/flat_files/minute_aggs_v1", "polygon/minute_aggs", "polygon/minute_aggs_monthly"

BLOCK = "---\ntype: data_assets.vendors.theta.component.ThetaDataset\nattributes: {dataset: quotes, symbol: %s%s}\n"
TICKERS = """symbol,secType,exchange,currency,first_day,last_day
AAPL,STK,SMART,USD,,
MSFT,STK,SMART,USD,2024-07-01,2024-07-05
"""

COMMANDS = """
import json, sys, tempfile
from data_assets.cli import main
real = sys.stdout
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["data-assets", *arguments]
    with tempfile.TemporaryFile("w+") as sys.stdout, tempfile.TemporaryFile("w+") as sys.stderr:
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        said = []
        for stream in (sys.stdout, sys.stderr):
            stream.seek(0)
            said.append(stream.read())
    print(json.dumps([code, *said]), file=real)
"""
"""Several commands, one after another, in one process: most of a short command is its start."""

NOTHING_ELSE = {"holes": [], "not_compared": {}, "unrecorded": [], "elsewhere": [], "error": None}


class Ended(NamedTuple):
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


class Clone:
    """The project as someone has it who has changed its blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_project(folder)
        self._quotes = (self._defs / "theta/option_quotes_qqq/defs.yaml").read_text()

    @property
    def _defs(self) -> Path:
        return self.folder / "defs"

    def options(self, *, old: str = "", short: str) -> None:
        """Two more symbols, with what their blocks say of their days."""
        blocks = (BLOCK % ("SPY", old)) + (BLOCK % ("IWM", short))
        (self._defs / "theta/option_quotes_qqq/defs.yaml").write_text(self._quotes + blocks)

    def flat_files(self, days: str) -> None:
        """What the block of the chain says of its days."""
        block = self._defs / "polygon/minute_aggs/defs.yaml"
        text = block.read_text()
        assert "first_day: 2016-08-04" in text
        block.write_text(text.replace("first_day: 2016-08-04", days))

    def tickers(self, text: str) -> None:
        """Another list of tickers."""
        (self._defs / "ib/bars_1m/tickers.csv").write_text(text)

    def run(self, *commands: tuple[str, ...]) -> list[Ended]:
        """The commands in one process."""
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "DATA_ASSETS_"))
        }
        ended = subprocess.run(
            [sys.executable, "-c", COMMANDS, json.dumps(commands)],
            cwd=self.folder,
            env={
                **outside,
                "DATA_ASSETS_SANDBOX_CONTRACTS": "4",
                "DATA_ASSETS_SANDBOX_TICKERS": "45",
                "DATA_ASSETS_SANDBOX_FIRST_DAY": "2003-09-10",
                "DATA_ASSETS_SANDBOX_THETA_TIER": "pro",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return [Ended(*json.loads(line)) for line in ended.stdout.splitlines()]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


def test_datasets_of_different_spans_are_filled_by_one_command_and_moving_a_bound_forgets_nothing(clone: Clone) -> None:
    clone.options(short=", first_day: 2024-07-03, last_day: 2024-07-09")
    july = ("--from", "2024-07", "--to", "2024-07-05")

    filled, gaps, verified, status, *refused = clone.run(
        ("backfill", OLD, SHORT, *july, "--json"),
        ("gaps", SHORT, "--json"),
        ("verify", "theta/option_quotes", "--json"),
        ("status", SHORT, "--json"),
        ("backfill", SHORT, "--to", "2024-07-02"),
        ("backfill", SHORT, "--from", "2024-07-10"),
        ("gaps", SHORT, "--to", "2024-06"),
        ("accept-hole", SHORT, "2024-07-02", "--reason", "none"),
        ("status", "--to", "2012-05-31"),
    )

    days = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
    assert filled.code == 0, filled.stderr
    assert filled.document == [
        {"dataset": OLD, "stored": days, **ALL_STORED},
        {"dataset": SHORT, "stored": days[2:], **ALL_STORED},
    ]
    assert open_days(gaps.document) == {SHORT: {"missing": ["2024-07-08", "2024-07-09"], "failed": [], "lacking": {}}}
    assert {name: each["ok"] for name, each in verified.document.items() if each["ok"]} == {OLD: days, SHORT: days[2:]}
    assert (status.document[SHORT]["sessions"], status.document[SHORT]["stored"]) == (4, 2)
    assert [row["day"] for row in status.document[SHORT]["days"]] == [*days[2:], "2024-07-08", "2024-07-09"]
    assert [each.code for each in refused] == [2] * 5
    assert [each.stderr for each in refused[:4]] == [
        f"Error: 2024-07-02 lies before 2024-07-03, the first_day of {SHORT}\n",
        f"Error: 2024-07-10 lies after 2024-07-09, the last_day of {SHORT}\n",
        f"Error: 2024-06 lies before 2024-07-03, the first_day of {SHORT}\n",
        f"Error: 2024-07-02 lies before 2024-07-03, the first_day of {SHORT}\n",
    ]
    assert refused[4].stderr.startswith("Error: 2012-05-31 lies before ")
    assert refused[4].stderr.count("\n") == 1

    files = sorted(clone.folder.rglob("data.parquet"))
    clone.options(old=", first_day: 2024-07-02, last_day: 2024-07-03", short=", first_day: 2024-07-05")
    status, gaps, verified = clone.run(
        ("status", "theta/option_quotes", "--json"),
        ("gaps", OLD, "--json"),
        ("verify", "theta/option_quotes", "--json"),
    )
    assert (status.document[OLD]["sessions"], status.document[OLD]["stored"]) == (2, 2)
    assert status.document[SHORT]["first_stored"] == "2024-07-05"
    assert (gaps.code, open_days(gaps.document)) == (0, {OLD: {"missing": [], "failed": [], "lacking": {}}})
    assert {name: each["ok"] for name, each in verified.document.items() if each["ok"]} == {
        OLD: ["2024-07-02", "2024-07-03"],
        SHORT: ["2024-07-05"],
    }
    assert sorted(clone.folder.rglob("data.parquet")) == files

    clone.options(short=", first_day: 2024-07-01, last_day: 2024-07-05")
    status, gaps = clone.run(("status", "theta/option_quotes", "--json"), ("gaps", SHORT, "--json"))
    assert (status.document[OLD]["stored"], status.document[SHORT]["stored"]) == (4, 2)
    assert open_days(gaps.document) == {SHORT: {"missing": ["2024-07-01", "2024-07-02"], "failed": [], "lacking": {}}}


def test_a_chain_begins_with_the_vendors_history_and_its_months_are_written_as_months(clone: Clone) -> None:
    clone.flat_files("last_day: 2003-09-12")
    clone.tickers(TICKERS)

    status, filled, gaps, table, verified, checked, after = clone.run(
        ("status", "--json"),
        ("backfill", "polygon", "--from", "2003-09", "--to", "2003-09", "--json"),
        ("gaps", "polygon", "--to", "2003-09", "--json"),
        ("status", MONTHS),
        ("verify", MONTHS, "--from", "2003-09", "--to", "2003-09-12", "--json"),
        ("status", MONTHS, "--from", "2003-09", "--to", "2003-09", "--json"),
        ("gaps", "polygon", "--from", "2003-10"),
    )

    counts = {name: each["sessions"] for name, each in status.document.items()}
    assert counts[FLAT_FILES] == counts[BARS] == 3
    assert counts[MONTHS] == 1
    assert counts["ib/bars_1m/MSFT"] == 4
    assert counts["ib/bars_1m/AAPL"] == counts["theta/option_quotes/QQQ"] == len(partition_keys())
    first = ["2003-09-10", "2003-09-11", "2003-09-12"]
    assert filled.code == 0, filled.stderr
    assert filled.document == [
        {"dataset": FLAT_FILES, "stored": first, **ALL_STORED},
        {"dataset": BARS, "stored": first, **ALL_STORED},
        {"dataset": MONTHS, "stored": ["2003-09"], **ALL_STORED},
    ]
    assert f"{MONTHS}: 1 of 1 month stored" in filled.stderr
    assert "✓ 2003-09  " in filled.stderr
    assert open_days(gaps.document) == {
        name: {"missing": [], "failed": [], "lacking": {}} for name in (FLAT_FILES, BARS, MONTHS)
    }
    assert "2003-09 to 2003-09" in table.stdout
    assert verified.document == {MONTHS: {"ok": ["2003-09"], "bad": {}, **NOTHING_ELSE}}
    (row,) = checked.document[MONTHS]["days"]
    assert (row["day"], row["checks"]) == ("2003-09", {"complete": "SUCCEEDED", "integrity": "SUCCEEDED"})
    assert (checked.document[MONTHS]["first_stored"], checked.document[MONTHS]["last_stored"]) == ("2003-09", "2003-09")
    assert after.stderr.startswith(f"Error: 2003-10 lies after 2003-09-12, the last_day of {FLAT_FILES}; the other 2 ")
    for ended in (filled, table, verified, checked):
        assert "2003-09-01" not in ended.stdout + ended.stderr


def test_months_that_are_missing_are_written_as_months(clone: Clone) -> None:
    clone.options(short=", first_day: 2024-07-01")

    text, document, days = clone.run(
        ("gaps", MONTHS, "--from", "2025-03", "--to", "2025-04"),
        ("gaps", MONTHS, "--to", "2016-09", "--json"),
        ("gaps", SHORT, "--from", "2025-03", "--to", "2025-03", "--json"),
    )

    assert text.stdout.splitlines()[1].split() == ["missing", "2025-03", "to", "2025-04", "(2", "months)"]
    assert open_days(document.document) == {MONTHS: {"missing": ["2016-08", "2016-09"], "failed": [], "lacking": {}}}
    missing = days.document[SHORT]["missing"]
    assert (missing[0], missing[-1], len(missing)) == ("2025-03-03", "2025-03-31", 21)
