#!/usr/bin/env bash
# Dagster 1.13.27 starts four processes for a run in one process, to capture what its steps print.
#
# One would guess: output goes to a file by moving two descriptors, and costs nothing where nothing is printed.
# Seen: a run of three steps that print nothing starts a `tail` for each of the two streams, which repeats the file on the
# terminal, and beside each a Python that watches whether the run is still there. At the run's end each of the four is
# told to end, and waited for by looking again and again.
# Who is hurt: whoever does many short runs in one process, and whoever counts the processes or the memory of a run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check dagster==1.13.27
cd "$folder"
mkdir home
echo "telemetry: {enabled: false}" > home/dagster.yaml
cat > run.py <<'PYTHON'
import sys
from collections import Counter

import dagster as dg

started = Counter()


def note(event, arguments):
    if event == "subprocess.Popen":
        started["tail" if arguments[1][0] == "tail" else "other"] += 1


@dg.asset
def a() -> None:
    pass


@dg.asset(deps=[a])
def b() -> None:
    pass


@dg.asset(deps=[b])
def c() -> None:
    pass


with dg.DagsterInstance.from_config("home") as instance:
    sys.addaudithook(note)
    assert dg.materialize([a, b, c], instance=instance).success
print(dg.__version__, started["tail"], started["other"], file=sys.__stderr__)
PYTHON
read -r version tails others < <(env/bin/python run.py 2>&1 > /dev/null | tail -1)
echo "dagster $version: a run of three silent steps started $tails times tail and $others other processes"
[[ $version == 1.13.27 && $tails == 2 && $others == 2 ]]
