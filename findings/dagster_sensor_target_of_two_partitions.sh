#!/usr/bin/env bash
# dagster 1.13.27: what a sensor may have as its target.
#
# One would guess: `target=` of a sensor names the assets that it may ask for, as `asset_selection=` does, and every run
# request says which of them it means. Seen: a target makes a job of all its assets, and no job can be made of assets
# with different partitions. `dg.Definitions` takes the sensor without a word, and so does asking it for the sensor; the
# error comes when the code location is loaded whole, as by a code server, and then nothing in it is served. With
# `asset_selection=` the same sensor loads.
# Who is hurt: whoever adds one asset with a later start date under a sensor that has worked for months, whose tests
# evaluate the sensor and pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check dagster==1.13.27
cd "$folder"
DAGSTER_HOME="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import sys

import dagster as dg

print("dagster", dg.__version__)


@dg.asset(partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
def older(): ...


@dg.asset(partitions_def=dg.DailyPartitionsDefinition("2024-06-01"))
def younger(): ...


def repository(**which):
    @dg.sensor(name="asks", **which)
    def asks(context):
        return dg.RunRequest(asset_selection=[older.key], partition_key="2024-07-01")

    found = dg.Definitions(assets=[older, younger], sensors=[asks]).get_repository_def()
    print(f"{[*which][0]}: the sensor is there: {found.get_sensor_def('asks').name}")
    return found


def loads(found):
    try:
        found.load_all_definitions()
    except dg.DagsterInvalidDefinitionError as error:
        return f"does not load: {str(error).splitlines()[0]}"
    return "loads"


seen = {name: loads(repository(**{name: [older, younger]})) for name in ("target", "asset_selection")}
for name, what in seen.items():
    print(f"{name}: the code location {what}")
sys.exit(not (seen["target"].startswith("does not load") and seen["asset_selection"] == "loads"))
PYTHON
