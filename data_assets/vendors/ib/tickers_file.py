"""A list that people keep by hand or in a spreadsheet, read into cells by column.

Here: the text of the file: its encoding, separators, quotes, comments, header. Not here: what a cell may say
(``contracts``).

What a file can only mean in one way is read: commas, semicolons, tabs or bars, as the header has them, since no cell
holds any of these; columns in any order, and names in any case (``Sec Type``, ``sec_type``); cells in quotes, or a
whole line in one pair of them; blank lines, comments from ``#`` on, Excel's ``sep=;``, a byte order mark, UTF-16 with
its mark; empty cells at the end of a line, be they too many or left out. Everything else is refused by the number of
the line, as an editor counts, with what was found and what is expected. That is a judgement: a file that is guessed at
could fetch the wrong contract for years.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_assets.counts import count_of

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOTHING = " \t\xa0\ufeff"
_BLANK = f'{_NOTHING}",;|'
_COMMENT = re.compile(r"""(^|(?<=[\s,;|"]))#.*""")
_SEPARATOR_NAMED = re.compile(r"""["']?sep=(.)["']?""", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One line that is neither blank, a comment nor the header.

    Attributes:
        line: its number, as an editor counts: blank lines and comments too.
        cells: column, as the code spells it -> text without spaces around it; a cell left out is empty.
    """

    line: int
    cells: Mapping[str, str]


def read_rows(path: Path, *, required: Sequence[str], optional: Sequence[str]) -> tuple[Row, ...]:
    """The rows of a list, in its order.

    Args:
        path: the file.
        required: the columns that it must have.
        optional: those that it may have.

    Raises:
        ValueError: the file cannot be read as such a list; one line that names the file and the line, says what was
            found and what is expected.
    """
    lines, separator = _lines(path)
    header = _Header.of(path, required, optional)
    if not lines:
        raise ValueError(f"{path}: is empty; expected is {header.expected}")
    (number, line), *data = lines
    columns, separator = header.read(number, line, separator)
    return tuple(
        Row(number, header.cells_of(f"{path.name} line {number}", columns, line, separator)) for number, line in data
    )


def with_row(path: Path, cells: Mapping[str, str], *, required: Sequence[str], optional: Sequence[str]) -> bytes:
    """The bytes of a list that has one row more at its end, and is as it was in everything else.

    The row is written in the file's own columns, separators, line ends and encoding. A column that the header lacks is
    put at its end: the rows above leave it out.

    Args:
        path: the file.
        cells: column -> text, without separators; those left out are empty.
        required: the columns that the file must have.
        optional: those that it may have.

    Raises:
        ValueError: the file is no such list, or its header is in quotes and lacks a column.
    """
    lines, separator = _lines(path)
    header = _Header.of(path, required, optional)
    if not lines:
        raise ValueError(f"{path}: is empty; expected is {header.expected}")
    number, line = lines[0]
    columns, separator = header.read(number, line, separator)
    raw, text = path.read_bytes(), _text(path)
    if lacking := [name for name in cells if name not in columns]:
        if '"' in line:
            raise ValueError(f"{path.name} line {number}: lacks the column {lacking[0]}; add it to the header")
        columns += lacking
        text = text.replace(line, separator.join((line.rstrip(f"{separator} "), *lacking)), 1)
    found = _LINE_END.search(text)
    line_end = found[0] if found else "\n"
    begun = "" if text.endswith(("\n", "\r")) else line_end
    text = f"{text}{begun}{separator.join(cells.get(name, '') for name in columns)}{line_end}"
    for mark, encoding in (
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF8, "utf-8"),
    ):
        if raw.startswith(mark):
            return mark + text.encode(encoding)
    return text.encode()


def _lines(path: Path) -> tuple[list[tuple[int, str]], str | None]:
    """The lines that say something, with their numbers, the header first; and the separator that the file names."""
    lines = [
        (number, text)
        for number, line in enumerate(_LINE_END.split(_text(path)), start=1)
        if (text := _without_comment(line))
    ]
    if lines and (named := _SEPARATOR_NAMED.fullmatch(lines[0][1])):
        return lines[1:], named[1]
    return lines, None


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first line of a file must be.

    Attributes:
        file: the file's name.
        required: columns.
        optional: columns.
        expected: what a whole file looks like, for messages.
    """

    file: str
    required: Sequence[str]
    optional: Sequence[str]
    expected: str

    @classmethod
    def of(cls, path: Path, required: Sequence[str], optional: Sequence[str]) -> _Header:
        """That of a list of tickers."""
        expected = (
            f"a header {','.join(required)} (perhaps with {' and '.join(optional)}), and below it one ticker a line, "
            "separated by commas, semicolons or tabs throughout"
        )
        return cls(path.name, required, optional, expected)

    def read(self, number: int, line: str, separator: str | None) -> tuple[list[str], str]:
        """The columns in the order of the file, and what separates them."""
        where = f"{self.file} line {number}"
        known = {_plain(name): name for name in (*self.required, *self.optional)}
        if separator is None:
            separator = max(_SEPARATORS, key=lambda each: sum(_plain(cell) in known for cell in _split(line, each)))
        found = _without_empty_end(_cells(where, line, separator), 0)
        columns = [known.get(_plain(cell), "") for cell in found]
        if not any(columns):
            raise ValueError(f"{where}: found {_shown(line)}, which names no column; expected is {self.expected}")
        for cell, column in zip(found, columns, strict=True):
            if not column:
                raise ValueError(
                    f"{where}: the column {cell or '(without a name)'} is unknown; expected is {self.expected}"
                )
            if columns.count(column) > 1:
                raise ValueError(f"{where}: the column {column} is there twice")
        for name in self.required:
            if name not in columns:
                raise ValueError(
                    f"{where}: found {_shown(line)}, the column {name} is missing; expected is {self.expected}"
                )
        return columns, separator

    def cells_of(self, where: str, columns: Sequence[str], line: str, separator: str) -> dict[str, str]:
        """The cells of a line under a header."""
        cells = _without_empty_end(_cells(where, line, separator), len(columns))
        least = 1 + max(columns.index(name) for name in self.required)
        if least <= len(cells) <= len(columns):
            return dict(zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=True))
        if other := next((each for each in _SEPARATORS if each != separator and each in line), None):
            raise ValueError(
                f"{where}: found {_shown(line)}, separated by {_SEPARATORS[other]}; expected are {_named(separator)}, "
                "as in the header"
            )
        raise ValueError(
            f"{where}: found {_shown(line)}, {count_of(len(cells), 'value')} for {len(columns)} columns; expected are "
            f"{_shown(separator.join(columns))}, separated by {_named(separator)}"
        )


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); it lists the tickers, one a line") from None
    encoding = "UTF-16" if raw.startswith(_UTF_16) else "UTF-8"
    try:
        text = raw.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = len(_LINE_END.split(raw[: error.start].decode("latin-1")))
        raise ValueError(
            f"{path.name} line {line}: found the byte 0x{raw[error.start]:02x}, which is no {encoding} there; "
            "save the file as UTF-8 (in Excel: CSV UTF-8)"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path}: found UTF-16 without its mark, or no text at all; save it as UTF-8")
    return text


def _without_comment(line: str) -> str:
    """What a line says; nothing of one that is blank, or holds only separators and quotes, or a comment."""
    text = _COMMENT.sub("", line).strip(" \xa0\ufeff")  # a tab at its start is a cell that is empty
    return text if text.strip(_BLANK) else ""


def _cells(where: str, line: str, separator: str) -> list[str]:
    if line.count('"') % 2:
        raise ValueError(f"{where}: found {_shown(line)}, with a quote that is not closed; expected are two, or none")
    return _split(line, separator)


def _split(line: str, separator: str) -> list[str]:
    cells = [cell.strip(_NOTHING) for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    whole_line_quoted = len(cells) == 1 and separator in cells[0]
    return _split(cells[0], separator) if whole_line_quoted else cells


def _without_empty_end(cells: Sequence[str], least: int) -> list[str]:
    kept = len(cells)
    while kept > least and not cells[kept - 1]:
        kept -= 1
    return list(cells[:kept])


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def _named(separator: str) -> str:
    return _SEPARATORS.get(separator, repr(separator))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
