#!/usr/bin/env bash
# Polars 2.1.0: importing it puts a SIGINT handler before the process's own, even before SIG_IGN.
#
# One would guess: a process that ignores SIGINT, as one that a script has put into the background does, is not ended by
# a Ctrl-C; and in one with a handler of its own, that handler decides, in the main thread, what becomes of the signal.
# Seen: a `collect()` under way in another thread raises KeyboardInterrupt there, though the process ignores the signal;
# with a handler, both happen. A handler that is set (or SIG_IGN again) after the import takes the place of Polars'.
# Who is hurt: pipelines that stop gracefully, or run in the background: a worker thread breaks off in the middle of its
# work with an exception that `except Exception` does not catch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
cat > "$folder/interrupted.py" <<'PYTHON'
import os
import signal
import sys
import threading

heard = []
SET = {"ignored": signal.SIG_IGN, "handled": lambda *_: heard.append("handler")}
order = sys.argv[1]
if order != "ignored after":
    signal.signal(signal.SIGINT, SET[order])
import polars as pl

if order == "ignored after":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
rows = pl.LazyFrame({"a": range(300_000)}).with_columns(b=pl.col("a").hash())
raised = []
done = threading.Event()


def work():
    try:
        for _ in range(20):
            rows.sort("b").group_by(pl.col("b") % 100).agg(pl.col("a").sum()).collect()
    except KeyboardInterrupt:
        raised.append("thread")
    done.set()


threading.Thread(target=work).start()
while not done.wait(0.001):
    os.kill(os.getpid(), signal.SIGINT)
print(f"polars {pl.__version__}: {order}: handler heard {bool(heard)}, raised in the thread {bool(raised)}")
expected = {"ignored": (False, True), "handled": (True, True), "ignored after": (False, False)}[order]
sys.exit((bool(heard), bool(raised)) != expected)
PYTHON
for order in "ignored" "handled" "ignored after"; do
    "$folder/env/bin/python" "$folder/interrupted.py" "$order"
done
