"""Answers that are not believed the first time, and when the vendor's word is the last one.

Here: what is remembered of an answer, where, and what counts as the same one. Not here: which answers are doubted
(``audit``, ``by_expiration``, ``whole_day``, ``reports``).

The vendor's lists name contracts and expirations of which it holds nothing, again and again: strikes listed before a
split, the first days of a root. An answer that contradicts the list may also be one that stopped short. It is asked for
again like any failed request. If the next answer lacks exactly the same, it is no accident: the vendor has no more, and
its own repeated answer outranks its list.

What an answer lacked is remembered beside the day, for each request and each kind of doubt, so that the next run
knows it too. The judgements are these:

- The next try of the same run counts as asking again; it comes after a pause.
- The same means the same contracts. Of two answers that were cut at different places neither is believed.
- An answer without the flaw makes the ones before it an accident: they are forgotten.
- Nothing is final before the vendor's night. Until 01:45 New York of the next day it still moves the day to its history
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
    """An answer that is not believed yet. Unlike other failures it says nothing of the terminal's health."""


About = Literal["absent", "last-contract", "repeats"]


class ShortAnswerMemory:
    """What answers to a day's requests were found wanting in.

    Attributes:
        advice: what comes next, for the reason of an answer that is not believed.
    """

    def __init__(self, pieces: UnfinishedDay | None, *, synthetic: bool, not_final: str | None) -> None:
        """Remember beside a day.

        Args:
            pieces: of the day; need not be open. None where nothing is to be remembered, and so nothing believed.
            synthetic: whether the vendor is the sandbox, whose word says nothing of the real one.
            not_final: why no answer can be the last word; None where one can.
        """
        self.advice = not_final or "asked again, the same response once more is the vendor's last word"
        self._final = not_final is None
        self._pieces = pieces
        self._synthetic = synthetic

    def repeated(self, request: HistoryRequest, about: About, lacked: Iterable[str]) -> bool:
        """Whether the answer before this one was found wanting in the same way, and this may be the last word.

        Args:
            request: what was asked.
            about: the kind of doubt.
            lacked: what tells one such answer from another, in any order.

        Raises:
            LakeError: the answer cannot be remembered.
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
        """An answer without that flaw has come."""
        if self._pieces is not None:
            self._pieces.forget(_name(request, about))

    def refuse_repeats(self, request: HistoryRequest, error: RowsRepeated) -> None:
        """Reject an answer with repeated rows if that is how the vendor answers; a replay on the way is an accident.

        Raises:
            RowsRepeated: to ask again.
            DayEnded: ``Rejected``: the answer before was the same.
        """
        if self.repeated(request, "repeats", [str(error)]):
            raise DayEnded(Rejected(f"{error}; update the terminal and run this day again")) from error
        raise error


def _name(request: HistoryRequest, about: About) -> str:
    return f"{part_name(request).replace('*', 'all')}-{about}"
