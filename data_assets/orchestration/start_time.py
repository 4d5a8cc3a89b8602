"""How long a run may be on its way to its process, of which nothing is heard until it is there."""

from __future__ import annotations

import time

from dagster import RunRecord

START_SECONDS = 180.0
"""Dagster itself gives a run this long to start; a clock that is half a minute off does not matter beside it."""


def is_over(record: RunRecord) -> bool:
    """Whether a run that was never heard of has had that long."""
    return time.time() - record.update_timestamp.timestamp() > START_SECONDS
