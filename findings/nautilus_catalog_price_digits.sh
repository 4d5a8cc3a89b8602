#!/usr/bin/env bash
# nautilus_trader 1.231.0: one day with more price digits makes an instrument's whole history unreadable.
#
# One would guess: a day whose prices have four decimals beside days that have two (stocks below one dollar, averages,
# a vendor that began to print more) is refused when it is written, or is read back with its own digits.
# Seen: the write is accepted. From then on no bar of the instrument can be read, of the days before either: the digits
# are metadata of each file's schema, and a scan of files with different ones raises.
# Who is hurt: whoever appends day by day: the write that spoils the history succeeds, and the error comes with the next
# backtest and names no file.
set -euo pipefail
python=$(command -v python3.13 || command -v python3.12) || { echo "needs Python 3.12 or 3.13"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check nautilus_trader==1.231.0
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import nautilus_trader
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog

BARS = BarType.from_str("PENNY.XNAS-1-MINUTE-LAST-EXTERNAL")
OPEN, MINUTE, DAY = 1_719_927_000_000_000_000, 60_000_000_000, 86_400_000_000_000  # 2024-07-02 13:30 UTC


def session(day, price):
    ends = [OPEN + day * DAY + minute * MINUTE for minute in range(1, 391)]
    return [Bar(BARS, price, price, price, price, Quantity(100, 0), end, end) for end in ends]


catalog = ParquetDataCatalog("catalog")
catalog.write_data(session(0, Price(1.25, 2)))
before = len(catalog.bars())
catalog.write_data(session(1, Price(0.9875, 4)))
try:
    after = f"{len(catalog.bars())} bars"
except RuntimeError as error:
    after = f"RuntimeError: {error}"
print(f"nautilus_trader {nautilus_trader.__version__}: {before} bars, and with the second day: {after}")
as_stated = before == 390 and "price_precision" in after
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
