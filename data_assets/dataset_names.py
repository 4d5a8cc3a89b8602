"""Names of datasets as people write them: one of them, a folder of them such as a vendor, or a glob.

Here: what a text means among the names that there are. Not here: the datasets, and which there are. Nothing heavy is
imported: a wrong name is refused without Dagster.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

WHAT_THERE_IS = "what there is: data-assets list"

_GLOB = frozenset("*?[")
_NEAR = 0.7
"""How alike two spellings have to be: SPX and SPY, which are two things, are not."""
_BEGUN = 3
"""How many letters of a name are enough to mean it."""
_NAMED_OF_SEVERAL = 3
"""How many names one line has room for."""


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """Those of some names that a pattern means: a name, a folder of names such as a vendor, or a glob over either,
    whose ``*`` crosses slashes.
    """
    wanted = pattern.strip("/")
    return [
        name for name in names if any(fnmatchcase(str(path), wanted) for path in (name, *PurePosixPath(name).parents))
    ]


def folders(names: Iterable[str]) -> list[str]:
    """What may be named to mean all names in it, such as a vendor."""
    return sorted({str(parent) for name in names for parent in PurePosixPath(name).parents} - {"."})


def named(names: Collection[str], key: str) -> list[str]:
    """The names that a key means.

    Raises:
        ValueError: it means none; one line, which says after a semicolon what there is.
    """
    if _GLOB & set(key):
        if found := matching(names, key):
            return found
        raise ValueError(f"no dataset matches {key!r}; {WHAT_THERE_IS}")
    folder = key.strip("/") + "/"
    return [name for name in names if name.startswith(folder)] or [one_named(names, key, also=folders(names))]


def nearest(names: Iterable[str], key: str) -> str | None:
    """The name that was probably meant: spelt nearly so, begun, with other capitals, or its end alone; or None.

    Parts between slashes are compared one by one: two symbols of a vendor are two datasets, however long the rest is.
    """
    wanted = key.strip("/").casefold()
    near = [(-ratio, name) for name in names if (ratio := _likeness(wanted, name.casefold())) >= _NEAR]
    return min(near)[1] if near else None


def _likeness(wanted: str, there: str) -> float:
    """From 0 to 1, how alike two names are where they are least alike; their ends, where one has more parts."""
    asked, parts = wanted.split("/"), there.split("/")
    if wanted.replace("/", "") == there.replace("/", ""):
        return 1.0
    return 0.0 if len(asked) > len(parts) else min(map(_ratio, asked, parts[-len(asked) :]))


def _ratio(asked: str, part: str) -> float:
    ratio = difflib.SequenceMatcher(None, asked, part).ratio()
    return max(ratio, _NEAR) if len(asked) >= _BEGUN and part.startswith(asked) else ratio


def one_named(names: Collection[str], key: str, also: Iterable[str] = ()) -> str:
    """The one name that is written.

    Args:
        names: those there are.
        key: as it was written.
        also: what else might have been meant.

    Raises:
        ValueError: there is no such name, or it means several; one line, which says after a semicolon what was
            probably meant, or how to see what there is, or which they are.
    """
    if (name := key.strip("/")) in names:
        return name
    if several := matching(names, key):
        more = f" and {len(several) - _NAMED_OF_SEVERAL} more" if len(several) > _NAMED_OF_SEVERAL else ""
        raise ValueError(f"{key!r} is no single dataset; name one of {', '.join(several[:_NAMED_OF_SEVERAL])}{more}")
    near = nearest([*also, *names], key)
    raise ValueError(f"there is no dataset {key!r}; {f'the nearest is {near}' if near else WHAT_THERE_IS}")
