"""Text of vendors as Markdown that shows it as it is.

The UI renders Markdown metadata: a ticker or an error page could otherwise be a link, an image or another column of a
table.

Here: escaping, and tables. Not here: which metadata is Markdown (`day_run`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from data_assets.lake.errors import one_line

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
_ENTITY = re.compile("|".join(_ENTITIES))
_MARK = re.compile(r"[\\`*\[\]|~!#$]|(?<![^\W_])_|_(?![^\W_])")
_LINK = re.compile(r"(?i)(?<=http)(s?):(?=//)|(?<=ftp)():(?=//)|(?<=www)()\.")


def markdown_text(said: object) -> str:
    """What somebody else said, as one line of Markdown that renders as just that, also in a cell of a table."""
    text = _MARK.sub(lambda found: f"\\{found[0]}", one_line(said))
    text = _ENTITY.sub(lambda found: _ENTITIES[found[0]], text)
    return _LINK.sub(lambda found: f"{next((s for s in found.groups() if s), '')}&#{ord(found[0][-1])};", text)


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table of names and values that are shown as they are; an absent value is "null".

    The columns are aligned, so that it can be read as text too.
    """
    lines = [[markdown_text(name) for name in header]]
    lines += [[markdown_text("null" if value is None else value) for value in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)
