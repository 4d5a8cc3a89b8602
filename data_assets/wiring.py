"""What this process's settings mean: which lake, and which vendor endpoints.

Here: the only place that knows of both the profile and the sandbox. Not here: the settings themselves (`settings`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from data_assets.lake.lake import Lake
from data_assets.settings import settings


def open_lake() -> Lake:
    """The lake of this process's profile. A sandbox lake and a live one are never the same."""
    return Lake(settings().lake_url, synthetic=settings().profile == "sandbox")


@contextmanager
def theta_endpoint() -> Iterator[str]:
    """The base URL of Theta's API: the user's terminal, or a sandbox server that lives as long as the context."""
    if settings().profile == "live":
        yield settings().theta_base_url
        return
    from data_assets.sandbox.serving import SandboxTheta  # only where it is needed: a live process never loads it

    with SandboxTheta(
        contracts=settings().sandbox_contracts,
        first_day=settings().sandbox_first_day,
        faults=settings().sandbox_faults,
        tier=settings().sandbox_theta_tier,
    ) as sandbox:
        yield sandbox.base_url
