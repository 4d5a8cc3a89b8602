"""What a run that was asked for by itself knows of that, in its tags.

Here: the tags, and what they say of a day that such a run did not store. Not here: asking (``day_requests``).
"""

from __future__ import annotations

from collections.abc import Mapping

REQUEST = "data_assets/request"
"""Tag of a run that a sensor asked for: the dataset's name."""
REQUESTED_AT = "data_assets/requested_at"
"""Tag: the instant, ISO 8601."""
ASKED_AGAIN = "data_assets/asked_again"
"""Tag: when its days are asked for again if they are not stored; without it in such a run, this is the last request."""


def is_asked_again(tags: Mapping[str, str]) -> bool:
    """Whether days that a run does not store are asked for again by themselves."""
    return ASKED_AGAIN in tags


def what_follows(tags: Mapping[str, str]) -> str:
    """Say in words for the end of a reason what becomes of a day that a run did not store; nothing for other runs."""
    if REQUEST not in tags:
        return ""
    if again := tags.get(ASKED_AGAIN):
        return f" (asked again by itself after {again})"
    return " (this was the last request by itself: it is left to you)"
