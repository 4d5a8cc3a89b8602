"""A signal that comes at a bad instant is a signal all the same."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from data_assets.ingest.stop_request import signals_as_request

DROPPED = """
import os, signal, sys, weakref
from data_assets.ingest.stop_request import keep_interrupts, signals_as_request

number = signal.Signals[sys.argv[1]]
if sys.argv[2] == "ignored":
    signal.signal(number, signal.SIG_IGN)
keep_interrupts(number)


class Module:
    pass


loaded = Module()
watched = weakref.ref(loaded, lambda _: os.kill(os.getpid(), number))
del loaded
print("dropped" if sys.argv[2] == "heeded" else "ignored", flush=True)
try:
    with signals_as_request():
        print("works on")
except KeyboardInterrupt:
    print("interrupted")
"""


def after_a_signal_in_a_callback(*arguments: str) -> list[str]:
    command = [sys.executable, "-c", DROPPED, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_that_python_drops_is_heeded_before_a_run_begins(number: str) -> None:
    assert after_a_signal_in_a_callback(number, "heeded") == ["dropped", "interrupted"]


def test_who_ignores_a_signal_goes_on_ignoring_it() -> None:
    assert after_a_signal_in_a_callback("SIGINT", "ignored") == ["ignored", "works on"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_way_to_end_a_command_is_a_request_to_stop(number: signal.Signals) -> None:
    before = signal.signal(number, lambda *_: None)
    try:
        with pytest.raises(KeyboardInterrupt), signals_as_request():
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)


IGNORED = """
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
import polars as pl
from data_assets.ingest.stop_request import signals_as_request

rows = pl.LazyFrame({"a": range(300_000)}).with_columns(b=pl.col("a").hash())
done = threading.Event()

def interrupt():
    while not done.wait(0.001):
        os.kill(os.getpid(), signal.SIGINT)

with signals_as_request():
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        for _ in range(10):
            rows.sort("b").group_by(pl.col("b") % 100).agg(pl.col("a").sum()).collect()
        print("worked on")
    except KeyboardInterrupt:
        print("raised")
    finally:
        done.set()
        thread.join()
"""


def test_polars_does_not_heed_what_the_process_ignores() -> None:
    """As of a command that a script has put into the background: a Ctrl-C is not for it."""
    ended = subprocess.run([sys.executable, "-c", IGNORED], capture_output=True, text=True, check=True)
    assert ended.stdout == "worked on\n"
