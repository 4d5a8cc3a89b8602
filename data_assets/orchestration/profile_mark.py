"""Whose history a Dagster instance holds: that of the sandbox's days, or that of real ones.

Here: the mark, and the refusal. Not here: the mark of the lake itself (`lake`).

The event log knows days by dataset and date. If both profiles wrote to one, a synthetic day would close the gap of a
real one. So the first run that ingests marks the instance with its profile, and then the other profile is refused.
"""

from __future__ import annotations

import dagster as dg

from data_assets.project import SettingsError, shown_state_folder
from data_assets.settings import settings

_PROFILE = "data_assets/profile"


def mark_history(instance: dg.DagsterInstance) -> None:
    """Mark the instance as this profile's, if it is nobody's; called before the first day is recorded.

    Raises:
        SettingsError: it is the other profile's.
    """
    refuse_foreign_history(instance)
    instance.daemon_cursor_storage.set_cursor_values({_PROFILE: settings().profile})


def refuse_foreign_history(instance: dg.DagsterInstance) -> None:
    """Go on only if the instance is this profile's or nobody's.

    Raises:
        SettingsError: it is the other profile's; the text says what to do.
    """
    owner = instance.daemon_cursor_storage.get_cursor_values({_PROFILE}).get(_PROFILE)
    if owner not in (None, settings().profile):
        state = shown_state_folder()
        raise SettingsError(
            f"DATA_ASSETS_PROFILE is {settings().profile}, and this project's history is of the {owner} profile, whose "
            f"days would count as its own: move the history away (mv {state} {state}.{owner}), or set the profile back"
        )
