"""What this process's settings mean: which lake, and which vendor endpoints.

Here: settings turned into a lake, and into a vendor or its simulator; the only place where the profile decides between
the two. Not here: the settings themselves (`settings`), and serving the simulators to other programs (`cli.sandbox`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from data_assets import project
from data_assets.lake.lake import Lake
from data_assets.sandbox.faults import Fault
from data_assets.sandbox.flat_files.faults import FlatFileFault
from data_assets.settings import settings

if TYPE_CHECKING:  # the simulators are imported where they are started, so that a live process never loads them
    from data_assets.sandbox.flat_files.bucket import FlatFileBucket
    from data_assets.sandbox.flat_files.files import FlatFiles
    from data_assets.sandbox.serving import SandboxTheta
    from data_assets.sandbox.tws.serving import SandboxTws

SANDBOX_IB_SCALE = 0.001
"""In the sandbox IB's stretches of time are a thousandth: ten milliseconds between two requests, not ten seconds."""

_SIMULATOR_IB_SCALE = SANDBOX_IB_SCALE / 2  # exact limits, kept by a client exactly, are broken by jitter


def open_lake() -> Lake:
    """The lake of this process's profile. A sandbox lake and a live one are never the same."""
    return Lake(settings().lake_url, synthetic=settings().profile == "sandbox")


def state_folder() -> Path:
    """Where vendors' clients keep what must survive a restart, such as when IB was last asked."""
    return project.state_folder() / "vendors" / settings().profile


def raw_cache_folder() -> Path:
    """Where the vendors' own files are kept: in the lake where that is a folder, else with the rest of the state.

    A folder that the settings name has one for each profile, as lakes do.

    Files of an object store's lake that an earlier version has put where the default lake would be stay there.
    """
    if (named := settings().polygon_cache_folder) is not None:
        return project.project_folder() / named.expanduser() / settings().profile
    lake = settings().lake_url
    if "://" not in lake:
        return Path(lake)
    before = project.project_folder() / "lake" / settings().profile
    return before if before.is_dir() else project.state_folder() / "raw" / settings().profile


def exports_folder(engine: str, named: Path | None = None) -> Path:
    """Where exports go: the folder that was named, or the project's own for a format."""
    return named or project.project_folder() / "exports" / settings().profile / engine


def sandbox_theta(port: int = 0) -> SandboxTheta:
    """The simulated terminal as the settings describe it, not started yet; on port 0 it takes a free one."""
    from data_assets.sandbox.serving import SandboxTheta

    return SandboxTheta(
        contracts=settings().sandbox_contracts,
        first_day=settings().sandbox_first_day,
        faults=[fault for fault in settings().sandbox_faults if isinstance(fault, Fault)],
        tier=settings().sandbox_theta_tier,
        port=port,
    )


def sandbox_flat_files() -> FlatFiles:
    """The simulated flat files as the settings describe them."""
    from data_assets.sandbox.flat_files.files import FlatFiles

    return FlatFiles(
        tickers=settings().sandbox_tickers,
        first_day=settings().sandbox_first_day,
        faults=tuple(fault for fault in settings().sandbox_faults if isinstance(fault, FlatFileFault)),
    )


def sandbox_bucket(port: int = 0) -> FlatFileBucket:
    """The simulated flat files in a bucket, not started yet."""
    from data_assets.sandbox.flat_files.bucket import FlatFileBucket

    return FlatFileBucket(sandbox_flat_files(), port=port)


def sandbox_tws(port: int = 0) -> SandboxTws:
    """The simulated TWS as the settings describe it, not started yet."""
    from data_assets.sandbox.tws.serving import SandboxTws

    return SandboxTws(
        first_day=settings().sandbox_first_day,
        faults=[fault for fault in settings().sandbox_faults if isinstance(fault, Fault)],
        pacing_scale=_SIMULATOR_IB_SCALE,
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


def flat_files_url(days: Iterable[date]) -> str:
    """Where Polygon's flat files are: the vendor's bucket, the user's mirror, or a sandbox folder that holds `days`."""
    if settings().profile == "live":
        return settings().polygon_flat_files_url
    folder = state_folder() / "flat_files"
    sandbox_flat_files().write_folder(folder, days)
    return folder.as_uri()


@contextmanager
def ib_endpoint() -> Iterator[tuple[str, int]]:
    """Host and port of IB's API: the user's TWS or Gateway, or a sandbox server that lives as long as the context."""
    if settings().profile == "live":
        yield settings().ib_host, settings().ib_port
        return
    with sandbox_tws() as sandbox:
        yield sandbox.host, sandbox.port
