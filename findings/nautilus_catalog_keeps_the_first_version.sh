#!/usr/bin/env bash
# nautilus_trader 1.231.0: a day that is written to a ParquetDataCatalog again, corrected, is not written.
#
# One would guess: a second write_data of a day replaces the first, adds to it, or is refused.
# Seen: if the corrected bars begin and end at the same instants, which those of a session do, write_data prints that
# it skips the write, returns as after any other write, and the catalog goes on serving the old bars.
# Who is hurt: whoever brings his catalog up to date after a vendor's revision: the backtest runs on the data of before,
# and nothing has failed.
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

BARS = BarType.from_str("AAPL.XNAS-1-MINUTE-LAST-EXTERNAL")
OPEN, MINUTE = 1_719_927_000_000_000_000, 60_000_000_000  # 2024-07-02 13:30 UTC, in nanoseconds


def session(volume):
    price, ends = Price(100, 2), [OPEN + minute * MINUTE for minute in range(1, 391)]
    return [Bar(BARS, price, price, price, price, Quantity(volume, 0), end, end) for end in ends]


catalog = ParquetDataCatalog("catalog")
catalog.write_data(session(100))
catalog.write_data(session(200))  # the vendor's correction
read = catalog.bars()
volumes = sorted({int(bar.volume) for bar in read})
print(f"nautilus_trader {nautilus_trader.__version__}: {len(read)} bars, with the volumes {volumes}; last written: 200")
as_stated = (len(read), volumes) == (390, [100])
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
