"""Which profile a Dagster instance's history belongs to: sandbox or live.

Here: the mark, and the refusal. Not here: the mark of the lake itself (`lake`).

The event log knows days by dataset and date. If both profiles wrote to the same one, a synthetic day would close the
gap of a real day. So the first run that ingests marks the instance with its profile, and the other profile is refused.
"""

from __future__ import annotations

import dagster as dg

from data_assets.project import SettingsError, shown_state_folder
from data_assets.settings import settings

_PROFILE = "data_assets/profile"


def mark_history(instance: dg.DagsterInstance) -> None:
    """Mark the instance with this profile, unless it is marked; called before the first day is recorded.

    Raises:
        SettingsError: it is marked with the other profile.
    """
    refuse_foreign_history(instance)
    instance.daemon_cursor_storage.set_cursor_values({_PROFILE: settings().profile})


def refuse_foreign_history(instance: dg.DagsterInstance) -> None:
    """Refuse an instance that is marked with the other profile.

    Raises:
        SettingsError: it is; the text says what to do.
    """
    owner = instance.daemon_cursor_storage.get_cursor_values({_PROFILE}).get(_PROFILE)
    if owner not in (None, settings().profile):
        state = shown_state_folder()
        raise SettingsError(
            f"DATA_ASSETS_PROFILE is {settings().profile}, but this project's history belongs to the {owner} profile, "
            f"whose days would count as stored: move the history away (mv {state} {state}.{owner}), or set the profile "
            "back"
        )
