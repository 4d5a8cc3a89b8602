#!/usr/bin/env bash
# Dagster 1.13.27 makes the SQLite database of each run by more than twenty transactions.
#
# One would guess: a run's events begin in a database whose tables were made together, by one commit.
# Seen: the file has been changed by 22 transactions before its first event is in it, one for each table, index and stamp,
# by the counter that SQLite keeps in a file's first page. Each of them waits for the disk several times. The driver
# (sqlite3 of Python) opens no transaction for a CREATE, so that SQLAlchemy's own around all of them holds nothing.
# Who is hurt: whoever launches many short runs, on a disk whose sync takes milliseconds most.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check dagster==1.13.27
cd "$folder"
mkdir home
echo "telemetry: {enabled: false}" > home/dagster.yaml
cat > opened.py <<'PYTHON'
from pathlib import Path

import dagster as dg

with dg.DagsterInstance.from_config("home") as instance:
    assert instance.all_logs("a-run") == []
file = Path("home/history/runs/a-run.db")
print(dg.__version__, int.from_bytes(file.read_bytes()[24:28], "big"))
PYTHON
read -r version transactions < <(env/bin/python opened.py 2> /dev/null)
echo "dagster $version: the database of a run was changed by $transactions transactions before its first event"
[[ $version == 1.13.27 && $transactions -ge 20 ]]
