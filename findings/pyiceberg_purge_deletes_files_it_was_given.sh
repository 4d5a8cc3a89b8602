#!/usr/bin/env bash
# pyiceberg 0.12.0: purge_table deletes data files that were there before the table, also with gc.enabled=false.
#
# One would guess: files that a table was given by add_files belong to whoever made them; and gc.enabled=false, by whose
# description snapshots and files are not removed, keeps them in any case.
# Seen: purge_table removes every data file that a snapshot names, wherever it lies, with gc.enabled=false too.
# Who is hurt: whoever puts a table over the files of a lake for a look and purges the table afterwards: the lake's days
# are gone. That is why `data-assets export iceberg` copies.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pyiceberg==0.12.0 sqlalchemy==2.1.9 pyarrow==26.0.1
cd "$folder"
env/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.memory import InMemoryCatalog

rows = pa.table({"close": [1.0, 2.0]})
day = Path("lake", "bars", "data.parquet").absolute()
day.parent.mkdir(parents=True)
pq.write_table(rows, day)
catalog = InMemoryCatalog("catalog", warehouse=str(Path("warehouse").absolute()))
catalog.create_namespace("looks")
table = catalog.create_table("looks.bars", rows.schema, properties={"gc.enabled": "false"})
table.add_files([str(day)])
read = table.scan().to_arrow().num_rows
catalog.purge_table("looks.bars")
print(f"pyiceberg {version('pyiceberg')}: {read} rows read; after purge_table the lake's file exists: {day.exists()}")
as_stated = (read, day.exists()) == (2, False)
print("as stated" if as_stated else "this has changed")
sys.exit(not as_stated)
PYTHON
