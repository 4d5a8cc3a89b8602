"""Responses that are not believed the first time, and when the vendor's word is final.

Here: what is remembered of such a response, where, and what counts as the same. Not here: which responses are doubted
(``audit``, ``by_expiration``, ``whole_day``, ``reports``).

The vendor's lists often name contracts and expirations of which it has no data: strikes listed before a split, the
first days of a root. But a response that contradicts the list may also have stopped short. So it is requested again
like any failed request. If the next response lacks exactly the same, that is no accident: the vendor has no more, and
its repeated response outranks its list.

What a response lacked is remembered beside the day, for each request and each kind of doubt, so that the next run knows
it too. The judgements are these:

- The next attempt of the same run counts as asking again; it comes after a pause.
- "The same" means the same contracts. Two responses that were cut at different places are both not believed.
- A response without the flaw shows that the earlier ones were an accident: they are forgotten.
- Nothing is final before the vendor's night. Until 01:45 New York of the next day it still moves the day to its
history,
  and its lists are those of the day before.
- A file says the same however often it is read, which proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from data_assets.ingest.outcome import DayEnded, Rejected, Transient
from data_assets.lake.unfinished import UnfinishedDay
from data_assets.vendors.theta.client import HistoryRequest
from data_assets.vendors.theta.intake import RowsRepeated
from data_assets.vendors.theta.parts import asked, part_name


class ShortAnswer(Transient):
    """A response that is not believed yet. Unlike other failures, it says nothing about the terminal's health."""


About = Literal["absent", "last-contract", "repeats"]


class ShortAnswerMemory:
    """Remembers what the responses to a day's requests lacked.

    Attributes:
        advice: what comes next, for the reason of a response that is not believed.
    """

    def __init__(self, pieces: UnfinishedDay | None, *, synthetic: bool, not_final: str | None) -> None:
        """Remember beside a day.

        Args:
            pieces: the day's pieces, perhaps not open; None if nothing is to be remembered, and so nothing believed.
            synthetic: whether the vendor is the sandbox, whose word does not count for the real vendor.
            not_final: why no response can be the last word; None if one can.
        """
        self.advice = not_final or "asked again, the same response once more is the vendor's last word"
        self._final = not_final is None
        self._pieces = pieces
        self._synthetic = synthetic

    def repeated(self, request: HistoryRequest, about: About, lacked: Iterable[str]) -> bool:
        """Whether the previous response lacked the same, so that this one is the last word; remember it if not.

        Args:
            request: what was requested.
            about: the kind of doubt.
            lacked: what distinguishes such responses, in any order.

        Raises:
            LakeError: the response cannot be remembered.
        """
        if self._pieces is None:
            return False
        names = sorted(lacked)
        note = {
            "asked": asked(request),
            "synthetic": self._synthetic,
            "lacked": len(names),
            "sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
        }
        name = _name(request, about)
        if self._pieces.remembered(name) == note:
            return self._final
        self._pieces.remember(name, note)
        return False

    def forget(self, request: HistoryRequest, about: About) -> None:
        """Forget the flaw, because a response without it has come."""
        if self._pieces is not None:
            self._pieces.forget(_name(request, about))

    def refuse_repeats(self, request: HistoryRequest, error: RowsRepeated) -> None:
        """Reject a response with repeated rows if it comes twice; once, it may be a replay on the way.

        Raises:
            RowsRepeated: to ask again.
            DayEnded: ``Rejected``: the previous response was the same.
        """
        if self.repeated(request, "repeats", [str(error)]):
            raise DayEnded(Rejected(f"{error}; update the terminal and run this day again")) from error
        raise error


def _name(request: HistoryRequest, about: About) -> str:
    return f"{part_name(request).replace('*', 'all')}-{about}"
