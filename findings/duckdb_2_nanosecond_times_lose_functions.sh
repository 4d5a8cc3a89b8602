#!/usr/bin/env bash
# DuckDB 2.0.0: a column of UTC times in nanoseconds, as Polygon's files have it, can no longer be cut into minutes or days.
#
# One would guess: what DuckDB 1.5.5 answers about such a Parquet file, 2.0.0 answers too, now to the nanosecond.
# Seen: 1.5.5 takes the column for TIMESTAMP WITH TIME ZONE. 2.0.0 takes it for TIMESTAMPTZ_NS, which compares, casts to a
# date and orders, but for which date_trunc, time_bucket, hour, avg, BETWEEN two times, adding an interval and an ASOF
# JOIN with a column in microseconds are not defined: each is a BinderException. The same file in microseconds has them.
# Who is hurt: who keeps a vendor's nanoseconds as they come, and pandas' default until version 3: five-minute bars,
# sessions by New York's day and quotes as of a trade stop working with the upgrade. t::TIMESTAMPTZ in a view brings all
# back, and so do files in microseconds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PYTHON'
import sys
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

opened = datetime(2024, 3, 11, 13, 30, tzinfo=UTC)
times = [opened + timedelta(minutes=minute) for minute in range(390)]
QUESTIONS = {
    "date_trunc": "SELECT count(DISTINCT date_trunc('hour', t)) FROM '{0}.parquet'",
    "time_bucket": "SELECT count(DISTINCT time_bucket(INTERVAL '5 minutes', t)) FROM '{0}.parquet'",
    "hour": "SELECT count(DISTINCT hour(t)) FROM '{0}.parquet'",
    "between": "SELECT count(*) FROM '{0}.parquet' WHERE t BETWEEN TIMESTAMPTZ '2024-03-11 14:00:00+00' "
    "AND TIMESTAMPTZ '2024-03-11 15:00:00+00'",
    "a minute later": "SELECT count(t + INTERVAL '1 minute') FROM '{0}.parquet'",
    "asof join": "SELECT count(*) FROM '{0}.parquet' AS trades ASOF JOIN 'us.parquet' AS quotes ON trades.t >= quotes.t",
    "cast": "SELECT count(DISTINCT date_trunc('hour', t::TIMESTAMPTZ)) FROM '{0}.parquet'",
    "less": "SELECT count(*) FROM '{0}.parquet' WHERE t < '2024-03-11 14:30:00+00'",
}


def answer(question, unit):
    try:
        return duckdb.sql(question.format(unit)).fetchall()[0][0]
    except duckdb.BinderException:
        return "BinderException"


for unit in ("us", "ns"):
    pq.write_table(pa.table({"t": pa.array(times, pa.timestamp(unit, "UTC"))}), f"{unit}.parquet")
duckdb.sql("SET TimeZone = 'UTC'")
seen = {unit: {name: answer(question, unit) for name, question in QUESTIONS.items()} for unit in ("us", "ns")}
for unit, answers in seen.items():
    kind = duckdb.sql(f"SELECT typeof(t) FROM '{unit}.parquet' LIMIT 1").fetchall()[0][0]
    print(f"DuckDB {duckdb.__version__}, {unit} ({kind}): {answers}")
lost = {name for name in QUESTIONS if seen["ns"][name] == "BinderException"}
expected = {"date_trunc", "time_bucket", "hour", "between", "a minute later", "asof join"} if sys.argv[1] == "lost" else set()
same = all(seen["ns"][name] == seen["us"][name] for name in set(QUESTIONS) - lost)
sys.exit(lost != expected or not same or "BinderException" in seen["us"].values())
PYTHON
for version in 1.5.5 2.0.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version" pyarrow==26.0.1
done
cd "$folder"
1.5.5/bin/python ask.py whole
2.0.0/bin/python ask.py lost
echo "as stated"
