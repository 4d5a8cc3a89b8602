#!/usr/bin/env bash
# Polars 2.1.0: two threads that each print a frame inside pl.Config leave the options of one of them set for good.
#
# One would guess: `with pl.Config(...)` holds for its block, and what was set before holds again behind it, also when
# two threads have such a block at the same time, as the previews of two partitions of one run have.
# Seen: the options are variables of the process's environment. A thread prints with the options of the other one, and
# when the first block ends before the second, the second one puts back what it found: the options of the first. Every
# frame that the process prints from then on is a Markdown table.
# Who is hurt: whoever renders frames in a pool of threads, a web handler or a step that records many partitions. And
# worse than the looks: variables are written while the native code of other threads reads them, which glibc before 2.41
# does not allow; a busy process was seen to die of it (SIGSEGV). A table made of `iter_rows()` needs no option.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
"$folder/env/bin/python" - <<'PYTHON'
import sys
import threading

import polars as pl

bar = pl.DataFrame({"ticker": ["QQQ"], "close": [484.17]})
before = str(bar)
first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()
seen = {}


def first():
    with pl.Config(tbl_formatting="MARKDOWN"):
        first_is_in.set()
        second_is_in.wait()
        seen["the first thread asked for Markdown only, and prints types"] = "str" in str(bar)
    first_is_out.set()


def second():
    first_is_in.wait()
    with pl.Config(tbl_hide_column_data_types=True):
        second_is_in.set()
        first_is_out.wait()


threads = [threading.Thread(target=work) for work in (first, second)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
seen["both blocks are over, and a frame prints as before"] = str(bar) == before
seen["but as Markdown"] = "| ticker" in str(bar)
for what, found in seen.items():
    print(f"polars {pl.__version__}: {what}: {found}")
sys.exit([*seen.values()] != [False, False, True])
PYTHON
