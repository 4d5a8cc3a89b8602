"""A sign of life while a command loads: a second or two, most of it Dagster's modules.

Here: one word in a terminal that is gone before the command says anything of its own. Not here: the display of a run.
"""

from __future__ import annotations

import sys

_shown = False


def show_loading() -> None:
    """Say so where a person looks; a pipe or a file is told nothing."""
    global _shown
    if sys.stderr.isatty():
        sys.stderr.write("loading ...")
        sys.stderr.flush()
        _shown = True


def end_loading() -> None:
    """Take it back, once; what is said next stands in its place."""
    global _shown
    if _shown:
        _shown = False
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
