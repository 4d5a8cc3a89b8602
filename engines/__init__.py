"""Backtest engines, each pinned in an environment of its own, load what `data-assets export` wrote.

`make test-engines` is no part of the suite, as it installs several hundred megabytes.
"""
