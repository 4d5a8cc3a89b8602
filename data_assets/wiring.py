"""What this process's settings mean: which lake, and which vendor endpoints.

Here: settings turned into a lake, and into a vendor or its simulator; the only place where the profile decides between
the two. Not here: the settings themselves (`settings`), and serving the simulator to other programs (`cli.sandbox`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from data_assets.lake.lake import Lake
from data_assets.settings import settings

if TYPE_CHECKING:
    from data_assets.sandbox.serving import SandboxTheta


def open_lake() -> Lake:
    """The lake of this process's profile. A sandbox lake and a live one are never the same."""
    return Lake(settings().lake_url, synthetic=settings().profile == "sandbox")


def sandbox_theta(port: int = 0) -> SandboxTheta:
    """The simulated terminal as the settings describe it, not started yet; on port 0 it takes a free one."""
    from data_assets.sandbox.serving import SandboxTheta  # only where it is needed: a live process never loads it

    return SandboxTheta(
        contracts=settings().sandbox_contracts,
        first_day=settings().sandbox_first_day,
        faults=settings().sandbox_faults,
        tier=settings().sandbox_theta_tier,
        port=port,
    )


@contextmanager
def theta_endpoint() -> Iterator[str]:
    """The base URL of Theta's API: the user's terminal, or a sandbox server that lives as long as the context."""
    if settings().profile == "live":
        yield settings().theta_base_url
        return
    with sandbox_theta() as sandbox:
        yield sandbox.base_url
