#!/usr/bin/env bash
# dagster 1.13.27: when the process that holds a project's code ends, `dagster dev` goes on without one.
#
# One would guess: a code server that the system ended, because memory ran out or because it missed its caller for half a
# minute on a machine that stood still, is started again by `dagster dev`, which has started it, or ends `dagster dev`.
# Seen: the UI and the daemon run on, every tick of every sensor fails, and this stays so until somebody reloads the
# location. `dagster-daemon run`, and `dagster dev --use-legacy-code-server-behavior`, hold a code server of their own
# each and have a new one within a minute or two.
# Who is hurt: who leaves `dagster dev` running as a service. Its supervisor sees a live process, so nothing is restarted,
# and no day is asked for any more.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check dagster==1.13.27 dagster-webserver==1.13.27 psutil==7.2.2
cat > "$folder/definitions.py" <<'PYTHON'
import os
import time
from pathlib import Path

import dagster as dg


@dg.asset
def bars() -> None: ...


@dg.sensor(
    job=dg.define_asset_job("download", [bars]),
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def new_days(context):
    with (Path(os.environ["DAGSTER_HOME"]) / "ticks").open("a") as ticks:
        ticks.write(f"{time.time()}\n")
    return dg.SkipReason("none yet")


defs = dg.Definitions([bars], sensors=[new_days])
PYTHON
cat > "$folder/ask.py" <<'PYTHON'
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

home = Path(os.environ["DAGSTER_HOME"])
home.mkdir()
(home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
with (home / "log").open("wb") as log:
    started = subprocess.Popen(sys.argv[1:], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
leader = psutil.Process(started.pid)


def ticks():
    return len((home / "ticks").read_text().split()) if (home / "ticks").exists() else 0


try:
    while ticks() < 2:
        assert started.poll() is None, (home / "log").read_text()
        time.sleep(1)
    for process in leader.children(recursive=True):
        if process.cmdline()[2:5] == ["dagster", "api", "grpc"]:
            process.kill()
    time.sleep(1)
    before, give_up = ticks(), time.monotonic() + 180
    while ticks() == before and time.monotonic() < give_up:
        time.sleep(1)
    print("ticks again" if ticks() > before else "no tick in three minutes")
finally:
    for process in [*leader.children(recursive=True), leader]:
        if process.is_running():
            process.kill()
    started.wait()
PYTHON
cd "$folder"
ask() {
    DAGSTER_HOME="$folder/$1" env/bin/python ask.py "${@:2}"
}
port() {
    env/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
ask plain env/bin/dagster dev -f definitions.py --port "$(port)" > plain.txt &
ask legacy env/bin/dagster dev --use-legacy-code-server-behavior -f definitions.py --port "$(port)" > legacy.txt &
ask daemon env/bin/dagster-daemon run -f definitions.py > daemon.txt &
wait
for each in plain legacy daemon; do echo "dagster 1.13.27, $each: $(cat $each.txt)"; done
[ "$(cat plain.txt)" = "no tick in three minutes" ]
[ "$(cat legacy.txt)" = "ticks again" ]
[ "$(cat daemon.txt)" = "ticks again" ]
echo "as stated"
