#!/usr/bin/env bash
# ib_async 2.1.0: a date as endDateTime ends at midnight of the machine's own time zone, neither the market's nor TWS's.
#
# One would guess: endDateTime=date(2024, 3, 11) means the end of 11 March as TWS or the contract's exchange has it, and
# the same call sends the same request wherever it runs. The parameter's documentation names TWS' login zone where none
# is given.
# Seen: the date becomes 23:59:59 of the local zone and is sent in UTC. From a laptop in New York that is 03:59:59 UTC of
# the next day; from a container, which runs in UTC, 19:59:59 New York in summer but 18:59:59 in winter, an hour before
# extended trading ends; from Tokyo it is 10:59:59 New York, in the middle of the session.
# Who is hurt: who moves a working download of days from a laptop into a container, or runs it on two machines. An aware
# datetime is sent as the same instant from everywhere; a naive one is taken in the local zone too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check ib_async==2.1.0 tzdata==2025.2
cat > "$folder/ask.py" <<'PYTHON'
import asyncio
from datetime import date, datetime
from zoneinfo import ZoneInfo

import ib_async


async def sent(end):
    ib, asked = ib_async.IB(), []
    ib.client.getReqId = lambda: 1  # as when connected; what would be sent is looked at instead
    ib.client.send = lambda *fields, **options: asked.append(fields)
    contract = ib_async.Contract(conId=756733, exchange="SMART")
    await ib.reqHistoricalDataAsync(contract, end, "1 D", "1 min", "TRADES", useRTH=False, timeout=0.05)
    return next(field for field in asked[0] if str(field).endswith(" UTC"))


async def main():
    aware = datetime(2024, 3, 11, 20, 0, tzinfo=ZoneInfo("America/New_York"))
    for end in (date(2024, 3, 11), datetime(2024, 3, 11, 20, 0), aware):
        print(await sent(end))


asyncio.run(main())
PYTHON
for zone in America/New_York UTC Asia/Tokyo; do
    mapfile -t sent < <(TZ=$zone "$folder/env/bin/python" "$folder/ask.py" 2>/dev/null)
    echo "ib_async 2.1.0 in $zone: a date is sent as ${sent[0]}, 20:00 without a zone as ${sent[1]}, with one as ${sent[2]}"
    case $zone in
        America/New_York) expected="20240312 03:59:59 UTC|20240312 00:00:00 UTC|20240312 00:00:00 UTC" ;;
        UTC) expected="20240311 23:59:59 UTC|20240311 20:00:00 UTC|20240312 00:00:00 UTC" ;;
        Asia/Tokyo) expected="20240311 14:59:59 UTC|20240311 11:00:00 UTC|20240312 00:00:00 UTC" ;;
    esac
    [ "${sent[0]}|${sent[1]}|${sent[2]}" = "$expected" ] || { echo "this has changed"; exit 1; }
done
echo "as stated"
