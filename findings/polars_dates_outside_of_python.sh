#!/usr/bin/env bash
# Polars 2.1.0 parses -2024-11-08 and +12024-11-08 as dates, strictly; min() or max() of them raises.
#
# One would guess: str.to_date("%Y-%m-%d") refuses what Python's strptime, pyarrow's and DuckDB's refuse by this format,
# or makes it null where strict is off; 12024-11-08 without the sign is refused.
# Seen: a key of option contracts that is cut one character too early, SPY-2024-11-08, leaves a year before Christ, which
# counts as parsed. It compares, sorts first, goes to Parquet and JSON. But min(), max(), to_list() and rows() raise
# ValueError for the column that holds it, so that the line which checks a day's first and last expiration fails itself,
# far from the parsing, and names neither column nor text.
# Who is hurt: who takes Polars' parsing for the check of a vendor's dates. is_between(date.min, date.max), or a pattern
# before the parsing, finds them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.0 polars==2.1.0 pyarrow==26.0.1
cd "$folder"
env/bin/python - <<'PYTHON'
import sys
from datetime import date, datetime

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

FORMAT = "%Y-%m-%d"
PARSERS = {
    "Polars": lambda text: pl.Series([text]).str.to_date(FORMAT, strict=True).dt.to_string("iso")[0],
    "Python": lambda text: datetime.strptime(text, FORMAT),
    "pyarrow": lambda text: pc.strptime(pa.array([text]), FORMAT, "s")[0],
    "DuckDB": lambda text: duckdb.execute("SELECT strptime(?, ?)", [text, FORMAT]).fetchall()[0][0],
}


def outcome(function, *arguments):
    try:
        return str(function(*arguments))[:12].strip()
    except (ValueError, pl.exceptions.PolarsError, duckdb.Error):
        return "refused"


texts = ["SPY-2024-11-08".removeprefix("SPY"), "+12024-11-08", "12024-11-08"]
parsed = {name: [outcome(parser, text) for text in texts] for name, parser in PARSERS.items()}
print(f"polars {pl.__version__}, {texts} by {FORMAT}: {parsed}")
as_stated = parsed.pop("Polars") == ["-2024-11-08", "+12024-11-08", "refused"]
as_stated &= all(outcomes == ["refused"] * 3 for outcomes in parsed.values())

for text in texts[:2]:
    days = pl.Series("expiration", ["2024-11-08", "2024-11-15", text]).str.to_date(FORMAT, strict=False)
    frame = days.to_frame()
    frame.write_parquet("days.parquet")
    fine = days.null_count() == 0 and pl.read_parquet("days.parquet").equals(frame) and text in frame.write_json()
    ends = {"min": days.min, "max": days.max, "to_list": days.to_list, "rows": frame.rows}
    seen = {name: outcome(function) for name, function in ends.items()}
    inside = days.is_between(date.min, date.max).to_list()
    print(f"{text} not strictly: nulls {days.null_count()}, in Parquet and JSON {fine}, {seen}, is_between {inside}")
    raising = {"min" if text.startswith("-") else "max", "to_list", "rows"}
    as_stated &= fine and {name for name, found in seen.items() if found == "refused"} == raising
    as_stated &= inside == [True, True, False]
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
