"""What a symbol more changes in the files under `defs`.

Here: the new bytes of each file; comments, order and formatting of what a person has written stay. Not here: loading
them, asking the vendor, and writing (`add`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import yaml

from data_assets.lake.bar_columns import IB_BARS, dataset_of
from data_assets.project import DEFS
from data_assets.vendors.ib.component import IbMinuteBars
from data_assets.vendors.ib.contracts import OPTIONAL, REQUIRED
from data_assets.vendors.ib.tickers_file import with_row
from data_assets.vendors.polygon.component import PolygonMinuteAggs
from data_assets.vendors.polygon.day import BARS_KEY
from data_assets.vendors.theta.component import ThetaDataset
from data_assets.vendors.theta.histories import HISTORIES

BLOCK = "defs.yaml"

OTHER_ROOTS = {"SPX": "SPXW", "NDX": "NDXP", "RUT": "RUTW", "VIX": "VIXW"}
"""Index options that expire at other times than the standard monthly ones have a root of their own."""

_ROOT = re.compile(r"[A-Z][A-Z0-9]*")
_DASH = re.compile(r"[ ]*-[ ]+")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")


class AlreadyThere(Exception):
    """The symbol is in the project; the text says where.

    Attributes:
        dataset: the dataset that has it.
    """

    def __init__(self, dataset: str, text: str) -> None:
        super().__init__(text)
        self.dataset = dataset


@dataclass(frozen=True)
class Addition:
    """What is to be written.

    Attributes:
        what: the symbol or dataset, for people.
        dataset: the dataset that has it then.
        changed: file, relative to `defs` -> its whole new content, in the order of writing.
        before: the content that was read; without those that are new.
        note: what a person should know of it.
    """

    what: str
    dataset: str
    changed: Mapping[str, bytes]
    before: Mapping[str, bytes] = field(default_factory=dict)
    note: str = ""


def theta_history(defs: Path, symbol: str, history: str, first_day: date | None) -> Addition:
    """A block of its own for a history of a symbol.

    Raises:
        ValueError: it is no option root, or the block's folder holds something else.
    """
    if not _ROOT.fullmatch(symbol):
        raise ValueError(f"{symbol!r} is no option root: capitals and digits, such as QQQ, SPX or GME1")
    asset = HISTORIES[history].asset  # type: ignore[index]
    dataset = f"theta/{asset}/{symbol}"
    name = f"theta/{asset}_{symbol.lower()}/{BLOCK}"
    if (defs / name).exists():
        if _says(defs / name, {"dataset": history, "symbol": symbol}):
            raise AlreadyThere(dataset, f"{dataset} is in {DEFS}/{name} already")
        raise ValueError(f"{DEFS}/{name}: is there already and does not define {dataset}: move it, or add it by hand")
    lines = [f"type: {_type(ThetaDataset)}", "attributes:", f"  dataset: {history}", f"  symbol: {_text(symbol)}"]
    roots = [symbol, OTHER_ROOTS[symbol]] if symbol in OTHER_ROOTS else [symbol]
    if len(roots) > 1:
        lines.append(f"  roots: [{', '.join(roots)}]")
    note = ""
    for place, other, of_other in _theta_roots(defs, history):
        if other != symbol and symbol in of_other:
            raise AlreadyThere(f"theta/{asset}/{other}", f"{symbol} is a root of theta/{asset}/{other} in {place}")
        if other != symbol and (twice := [root for root in roots if root in of_other]):
            note = f"{', '.join(twice)} is in theta/{asset}/{other} too, and is downloaded twice: remove {place}"
    if first_day is not None:
        lines.append(f"  first_day: {first_day}")
    return Addition(dataset, dataset, {name: "".join(f"{line}\n" for line in lines).encode()}, note=note)


def _theta_roots(defs: Path, history: str) -> Iterator[tuple[str, str, list[str]]]:
    """Of each block of a history: its file, its symbol, and its roots."""
    for file, block in _blocks(defs, ThetaDataset):
        said = yaml.safe_load(yaml.serialize(block)).get("attributes") or {}
        if said.get("dataset") == history and isinstance(said.get("symbol"), str):
            yield f"{DEFS}/{file.relative_to(defs)}", said["symbol"], said.get("roots") or [said["symbol"]]


def ib_ticker(defs: Path, symbol: str, first_day: date | None, primary_exchange: str = "") -> Addition:
    """A row in the list of the first block of IB's bars; a block and its list where there is none.

    Raises:
        ValueError: the list cannot be read, or is not under `defs`.
    """
    dataset = dataset_of(IB_BARS, symbol)
    cells = {"symbol": symbol, "secType": "STK", "exchange": "SMART", "currency": "USD"}
    if primary_exchange:
        cells["primaryExchange"] = primary_exchange
    if first_day is not None:
        cells["first_day"] = first_day.isoformat()
    for file, block in _blocks(defs, IbMinuteBars):
        path = file.parent / str(yaml.safe_load(yaml.serialize(block))["attributes"]["tickers_file"])
        if not path.resolve().is_relative_to(defs.resolve()):
            raise ValueError(f"{path}: is not under {DEFS}: add a row for {symbol} there by hand")
        name = str(path.resolve().relative_to(defs.resolve()))
        content = with_row(path, cells, required=REQUIRED, optional=OPTIONAL)
        return Addition(dataset, dataset, {name: content}, {name: path.read_bytes()})
    table = f"{','.join(cells)}\n{','.join(cells.values())}\n"
    block_text = f"type: {_type(IbMinuteBars)}\nattributes:\n  tickers_file: tickers.csv\n"
    files = {"ib/bars_1m/tickers.csv": table.encode(), f"ib/bars_1m/{BLOCK}": block_text.encode()}
    if taken := [name for name in files if (defs / name).exists()]:
        raise ValueError(f"{DEFS}/{taken[0]}: is there already and is no block of IB's bars: move it")
    return Addition(dataset, dataset, files)


def polygon_ticker(defs: Path, ticker: str) -> Addition:
    """A place at the end of `tickers` in the block of Polygon's minute aggregates.

    Raises:
        AlreadyThere: it is on the list, or all tickers are kept.
        ValueError: there is no such block, or its list cannot be added to.
    """
    for file, block in _blocks(defs, PolygonMinuteAggs):
        name = str(file.relative_to(defs))
        attributes = _value(block, "attributes")
        tickers, liquid = _value(attributes, "tickers"), _value(attributes, "liquid")
        if isinstance(tickers, yaml.ScalarNode) and tickers.value == "all":
            raise AlreadyThere(BARS_KEY, f"{DEFS}/{name} keeps the bars of all tickers")
        if not isinstance(tickers, yaml.SequenceNode) or not tickers.value:
            raise ValueError(f"{DEFS}/{name}: tickers is no list with a ticker in it: correct it first")
        listed = yaml.safe_load(yaml.serialize(tickers))
        if ticker in (each["ticker"] if isinstance(each, dict) else each for each in listed):
            raise AlreadyThere(BARS_KEY, f"{ticker} is among the tickers of {DEFS}/{name} already")
        raw = file.read_bytes()
        content = _with_item(raw.decode(), tickers, _text(ticker))
        _refuse_other_changes(file, content, [*listed, ticker])
        note = ""
        if liquid is tickers:
            note = (
                f"`liquid` is the same list: {ticker} is expected to trade in every minute of a regular session too, "
                "and `bar_count` reports minutes without it; if it does not, give `liquid` a list of its own"
            )
        return Addition(ticker, BARS_KEY, {name: content.encode()}, {name: raw}, note)
    raise ValueError(f"no block under {DEFS} has the type {_type(PolygonMinuteAggs)}: copy it from a new project")


def _blocks(defs: Path, component: type) -> Iterator[tuple[Path, yaml.Node]]:
    """The blocks of a component with their files, by name; without files that are no YAML."""
    for file in sorted(defs.rglob(BLOCK)):
        try:
            documents = list(yaml.compose_all(file.read_bytes().decode(), Loader=yaml.SafeLoader))
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        for each in documents:
            said = _value(each, "type")
            if isinstance(said, yaml.ScalarNode) and said.value == _type(component):
                yield file, each


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _says(file: Path, expected: Mapping[str, str]) -> bool:
    for found, block in _blocks(file.parent, ThetaDataset):
        attributes = _value(block, "attributes")
        values = {key: _value(attributes, key) for key in expected}
        if found == file and all(node is not None and node.value == expected[key] for key, node in values.items()):
            return True
    return False


def _type(component: type) -> str:
    return f"{component.__module__}.{component.__qualname__}"


def _text(symbol: str) -> str:
    """A symbol as YAML has to spell it: ON, NO and their like are other values without quotes."""
    return symbol if yaml.safe_load(f"[{symbol}]") == [symbol] else f'"{symbol}"'


def _with_item(text: str, items: yaml.SequenceNode, written: str) -> str:
    """The text of a YAML file with one item more at the end of a list, written as the list is."""
    last = items.value[-1]
    if items.flow_style:
        end = last.end_mark.index
        return f"{text[:end]}, {written}{text[end:]}"
    while isinstance(last, yaml.CollectionNode) and not last.flow_style:  # whose own end is where the next thing begins
        last = last.value[-1][1] if isinstance(last, yaml.MappingNode) else last.value[-1]
    line = _line_at(text, last.end_mark.index)
    dash = _DASH.match(_line_at(text, items.value[0].start_mark.index)[0])
    if dash is None:
        raise ValueError(f"the list of tickers begins in a way that was not foreseen: add {written} by hand")
    ending = line[0][len(line[0].rstrip("\r\n")) :]
    item = f"{dash[0]}{written}"
    if not ending:
        return f"{text}\n{item}\n"
    return f"{text[: line.end()]}{item}{ending}{text[line.end() :]}"


def _line_at(text: str, index: int) -> re.Match[str]:
    """The line around a place, with its end."""
    line = _LINE.match(text, text.rfind("\n", 0, index) + 1)
    assert line is not None
    return line


def _refuse_other_changes(file: Path, content: str, tickers: list[object]) -> None:
    """Refuse a changed text that says anything else than the old one, but for its tickers.

    Raises:
        ValueError: it does, as in a layout that was not foreseen.
    """
    before, after = list(yaml.safe_load_all(file.read_bytes().decode())), list(yaml.safe_load_all(content))
    for old, new in zip(before, after, strict=True):
        if old != new:
            same = old["attributes"]["tickers"] is old["attributes"].get("liquid")
            old["attributes"]["tickers"] = tickers
            if same:
                old["attributes"]["liquid"] = tickers
    if before != after or tickers not in [each["attributes"].get("tickers") for each in after]:
        raise ValueError(f"{file.name}: {tickers[-1]} cannot be added to its tickers safely: add it by hand")
