"""A market-data lake that fills itself: every dataset a Dagster asset, every trading day a partition.

For readers of a lake, this is the door: `Lake`, `Snapshot` for what is to be cited and read again, and `create_views`
for those who use SQL. What has no name here may
change with any version. Importing it loads nothing; the first use of a name loads what that needs, and never Dagster.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_assets.lake.lake import Lake as Lake
    from data_assets.lake.snapshot import Snapshot as Snapshot
    from data_assets.lake.views import create_views as create_views

    __version__: str

__all__ = ["Lake", "Snapshot", "__version__", "create_views"]

_PLACES = {
    "Lake": "data_assets.lake.lake",
    "Snapshot": "data_assets.lake.snapshot",
    "create_views": "data_assets.lake.views",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("data-assets")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
