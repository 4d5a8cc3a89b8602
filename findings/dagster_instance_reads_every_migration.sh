#!/usr/bin/env bash
# Dagster 1.13.27 loads every script of its database migrations whenever an instance on SQLite is opened.
#
# One would guess: opening an instance whose databases are up to date looks up one revision in each of them.
# Seen: `DagsterInstance.from_config()` of such an instance loads every migration script of the package, each twice: 176
# files in each process that opens an instance, to learn which revision is the last.
# Who is hurt: command-line tools and tests that open an instance in a short process, and whoever runs a process a step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check dagster==1.13.27
cd "$folder"
mkdir home
echo "telemetry: {enabled: false}" > home/dagster.yaml
cat > opened.py <<'PYTHON'
import sys
from collections import Counter

import dagster as dg

read = Counter()


def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and "/alembic/versions/" in arguments[0]:
        read[arguments[0].rsplit("/", 1)[-1].split(".")[0]] += 1


sys.addaudithook(note)
with dg.DagsterInstance.from_config("home"):
    pass
print(dg.__version__, len(read), sum(read.values()))
PYTHON
env/bin/python opened.py > /dev/null 2>&1  # makes the databases
read -r version scripts reads < <(env/bin/python opened.py)
echo "dagster $version: opening an instance that is up to date read $scripts migration scripts, $reads times in all"
[[ $version == 1.13.27 && $scripts -gt 50 && $reads -ge $((2 * scripts)) ]]
