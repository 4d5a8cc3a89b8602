#!/usr/bin/env bash
# pandas-market-calendars 5.5.0: options trade on until 16:00 on every Christmas Eve on which their stocks stop at 13:00.
#
# One would guess: CBOE_Equity_Options closes early with the stocks that its options are on, as it does the day after
# Thanksgiving and before the Fourth of July, and CBOE_Index_Options and CFE a quarter of an hour later.
# Seen: the package's NYSE calendar has those early closes of December and the three calendars of Cboe have none of them,
# neither in the past nor in the future; all other early closes agree, and so do the sessions.
# Who is hurt: who asks for the hours of options by the name of the options' exchange. A download of quotes waits for
# three hours that never come and calls the day incomplete, or asks for the day before it has been published; a strategy
# holds an option that expires that day for three hours too long.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pandas-market-calendars==5.5.0 pandas==3.1.1
"$folder/env/bin/python" - <<'PYTHON'
import sys
import warnings

import pandas_market_calendars

warnings.filterwarnings("ignore")


def closes(name):
    schedule = pandas_market_calendars.get_calendar(name).schedule("2006-01-01", "2030-12-31")
    return schedule["market_close"].dt.tz_convert("America/New_York").dt.strftime("%H:%M")


stocks = closes("NYSE")
early = stocks[stocks == "13:00"]
as_stated = True
for name, regular in (("CBOE_Equity_Options", "16:00"), ("CBOE_Index_Options", "16:15"), ("CFE", "16:15")):
    options = closes(name)
    late = [day for day in early.index if options[day] == regular]
    december = [day for day in early.index if day.month == 12]
    print(
        f"pandas-market-calendars {pandas_market_calendars.__version__}, {name}: of {len(early)} days on which stocks "
        f"stop at 13:00 it trades on until {regular} on {len(late)}, all in December: {late[-1]:%Y-%m-%d} is the last"
    )
    as_stated &= list(options.index) == list(stocks.index) and late == december and len(late) > 10
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
