"""What a command prints in colours: lines and tables that fit the terminal, whatever its width.

Here: the console that breaks lines at words (`line_breaks`), and tables whose rows become a few lines each where they
are wider than the terminal. Not here: what is printed, and what moves (`display`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from data_assets.cli.line_breaks import HANG, hang_of, known_width, segments

UNMEASURED = 1000
"""Columns where nobody has a width, as in a pipe: nothing is broken or cut there."""

GAP = "  "


class Screen(Console):
    """Prints on stdout or stderr; its own words alone have colours, and no number or path in them.

    With `soft_wrap`, which is the default here, a text is broken at words, where Rich would leave it to the terminal.
    Whatever is no text, such as a table, is printed as Rich prints it.
    """

    def __init__(self, *, stderr: bool = False, file: TextIO | None = None) -> None:
        stream = file or (sys.stderr if stderr else sys.stdout)
        self._is_measured = known_width(stream) is not None
        width = None if self._is_measured else UNMEASURED  # a terminal is measured anew when it is drawn in
        super().__init__(stderr=stderr, file=file, width=width, highlight=False, soft_wrap=True)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **how: Any) -> None:
        """Print texts and tables; see `rich.console.Console.print`."""
        if self._is_measured and soft_wrap is not False:
            objects = tuple(self._broken(each, how) for each in objects)
        super().print(*objects, soft_wrap=soft_wrap, **how)

    def _broken(self, each: Any, how: dict[str, Any]) -> Any:
        if isinstance(each, str):
            each = self.render_str(each, markup=how.get("markup"), highlight=False)
        return broken_text(each, self.width) if isinstance(each, Text) else each


def broken_text(text: Text, width: int) -> Text:
    """A text with the breaks that it needs in a width."""
    lines = []
    for line in text.split("\n", allow_blank=True):
        hang = hang_of(line.plain)
        for start, end in segments(line.plain, width):
            lines.append(Text(hang if start else "") + line[start:end] if end > start else Text())
    return Text("\n").join(lines)


@dataclass(frozen=True)
class Heading:
    """What stands above a column.

    Attributes:
        text: in a word or two; it stands before each value where there are no columns.
        is_number: whether its values end at one place.
        is_clear: whether its values say by themselves what they are, so that `text` need not stand before them.
    """

    text: str
    is_number: bool = False
    is_clear: bool = False


@dataclass(frozen=True)
class FittingTable:
    """A table in a terminal that has room for it, and a few lines for each row in another.

    Attributes:
        headings: of each column. The first two words of a row that stands in lines are its first column, and the second
            if it is clear.
        rows: a text for each column, with Rich's markup.
        title: a line above it, if there is one.
        rule: whether a line parts the headings from the rows.
    """

    headings: Sequence[Heading]
    rows: Sequence[Sequence[str]]
    title: str = ""
    rule: bool = False

    def __rich_console__(self, console: Console, _options: Any) -> Any:
        title = [Text(f"\n{self.title}", style="bold", no_wrap=True, overflow="ignore")] if self.title else []
        anywhere = console.options.update(width=UNMEASURED)
        tables = map(self._table, (2, 1))
        fits = (table for table in tables if console.measure(table, options=anywhere).maximum <= console.width)
        table = next(fits, None)
        yield Group(*title, *([table] if table else self._lines(console)))

    def _table(self, gap: int) -> RenderableType:
        """The table, with so many columns between two of its own."""
        gap -= self.rule  # the rule's own
        table = Table(
            box=box.SIMPLE_HEAD if self.rule else None, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0)
        )
        for heading in self.headings:
            table.add_column(heading.text, justify="right" if heading.is_number else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table

    def _lines(self, console: Console) -> Sequence[Text]:
        lines = []
        for row in self.rows:
            cells = [Text.from_markup(cell) for cell in row]
            heads = 2 if self.headings[1].is_clear else 1
            head = Text(GAP).join(cells[:heads])
            head.stylize("bold", 0, len(cells[0]))
            lines.append(head)
            told = [
                cell if heading.is_clear else Text.assemble((f"{heading.text} ", "dim"), cell)
                for heading, cell in list(zip(self.headings, cells, strict=True))[heads:]
                if cell.plain not in ("", "-")
            ]
            lines += joined(told, console.width)
        for line in lines:
            line.no_wrap, line.overflow = True, "ignore"
        return lines


def joined(parts: Sequence[Text], width: int, indent: str = HANG) -> list[Text]:
    """Indented lines of short texts, of which none is broken unless it is longer than a line."""
    lines: list[Text] = []
    for part in parts:
        if lines and len(lines[-1]) + len(GAP) + len(part) <= width:
            lines[-1] += Text(GAP) + part
        else:
            lines.append(Text(indent) + part)
    return [piece for line in lines for piece in broken_text(line, width).split("\n")]
