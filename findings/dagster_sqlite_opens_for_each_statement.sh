#!/usr/bin/env bash
# Dagster 1.13.27 opens and closes its SQLite databases anew for every statement, with an engine of its own each time.
#
# One would guess: an instance keeps an engine for each of its databases, so that a statement is compiled once and the
# database is opened once.
# Seen: twenty events that are stored one after the other open databases forty times, each time with an engine newly
# made, so that nothing that SQLAlchemy compiles is used twice. And as whoever closes a database last writes its log into
# it, a process that is alone with its history copies and syncs each event twice.
# Who is hurt: whoever stores an event for each day of years, and sensors that ask a question for each of many assets.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check dagster==1.13.27
cd "$folder"
mkdir home
echo "telemetry: {enabled: false}" > home/dagster.yaml
cat > opened.py <<'PYTHON'
import dagster as dg
import sqlalchemy

EVENTS = 20
opened = []


def connected(connection, record):
    opened.append(connection)


with dg.DagsterInstance.from_config("home") as instance:
    for number in range(EVENTS + 1):
        if number == 1:  # the first one makes what is not there yet
            sqlalchemy.event.listen(sqlalchemy.pool.Pool, "connect", connected)
        instance.report_runless_asset_event(dg.AssetMaterialization("a", partition=str(number)))
print(dg.__version__, sqlalchemy.__version__, EVENTS, len(opened))
PYTHON
read -r version sqlalchemy events opened < <(env/bin/python opened.py 2> /dev/null)
echo "dagster $version, SQLAlchemy $sqlalchemy: $events events opened databases $opened times"
[[ $version == 1.13.27 && $opened -ge $((2 * events)) ]]
