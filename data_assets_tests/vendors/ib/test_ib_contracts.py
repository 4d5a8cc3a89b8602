from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.span import SHIPPED, Span
from data_assets.vendors.ib.contracts import Ticker, read_tickers

HEADER = "symbol,secType,exchange,currency"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "tickers.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_rows_become_values(tmp_path) -> None:
    text = (
        "\ufeffsymbol,secType,exchange,currency,primaryExchange,completeness\r\n"
        "AAPL,STK,SMART,USD,,\r\n"
        "\r\n"
        " GLD , STK,SMART,USD, ARCA ,lenient\r\n"
        '"BRK B",STK,NYSE,USD,,strict\r\n'
    )
    assert read_tickers(written(tmp_path, text)) == (
        Ticker("AAPL", where="tickers.csv row 2"),
        Ticker("GLD", primary_exchange="ARCA", completeness="lenient", where="tickers.csv row 4"),
        Ticker("BRK B", exchange="NYSE", where="tickers.csv row 5"),
    )


def test_columns_may_come_in_any_order_and_the_optional_ones_may_lack(tmp_path) -> None:
    path = written(tmp_path, "currency,symbol,exchange,secType\nUSD,KO,NYSE,STK\n")
    assert read_tickers(path) == (Ticker("KO", exchange="NYSE", currency="USD", where="tickers.csv row 2"),)


def test_a_dataset_is_named_by_its_symbol() -> None:
    assert Ticker("AAPL").dataset == "ib/bars_1m/AAPL"
    assert Ticker("BRK B").dataset == "ib/bars_1m/BRK.B"


@pytest.mark.parametrize(
    "text",
    [
        "symbol;secType;exchange;currency;primaryExchange;completeness\nAAPL;STK;SMART;USD;;\nGLD;STK;SMART;USD;ARCA;lenient\n",
        "sep=;\nSymbol;Sec Type;EXCHANGE;currency;primary_exchange;Completeness\n"
        "AAPL;STK;SMART;USD\nGLD;STK;SMART;USD;ARCA;Lenient;;\n",
        "symbol\tsecType\texchange\tcurrency\tprimaryExchange\tcompleteness\t\t\n"
        "AAPL\tSTK\tSMART\tUSD\t\t\t\t\nGLD\tSTK\tSMART\tUSD\tARCA\tlenient\t\t\n",
        '"symbol","secType","exchange","currency","primaryExchange","completeness"\r\n'
        '"AAPL" , "STK","SMART", "USD","",""\r\n"GLD","STK","SMART","USD","ARCA","lenient"\r\n',
        '"symbol;secType;exchange;currency;primaryExchange;completeness"\n"AAPL;STK;SMART;USD"\n'
        '"GLD;STK;SMART;USD;ARCA;lenient"',
        '# what we trade, by desk\n"# and, from Excel,"\n\n'
        "symbol,secType,exchange,currency,primaryExchange,completeness\n"
        "  # equities\nAAPL,STK,SMART,USD,,  # apple\n,,,,,\nGLD,STK,SMART,USD,ARCA,lenient,# gold, not miners\n",
        "symbol,secType,exchange,currency,primaryExchange,completeness\r"
        "AAPL,STK,SMART,USD\rGLD,STK,SMART,USD,ARCA,lenient",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_can_be_meant_in_one_way_only_is_read(tmp_path, text, encoding) -> None:
    tickers = read_tickers(written(tmp_path, text.encode(encoding)))
    assert [(ticker.symbol, ticker.primary_exchange, ticker.completeness) for ticker in tickers] == [
        ("AAPL", "", "strict"),
        ("GLD", "ARCA", "lenient"),
    ]


TEXTS = {
    "symbol": ["AAPL", "BRK B", "GLD"],
    "secType": ["STK"],
    "exchange": ["SMART", "NYSE"],
    "currency": ["USD"],
    "primaryExchange": ["", "NASDAQ"],
    "completeness": ["", "lenient"],
}


@given(st.data())
def test_a_list_says_the_same_in_whatever_form_it_is_kept(tmp_path_factory, data) -> None:
    columns = data.draw(st.permutations(list(TEXTS)))
    symbols = data.draw(st.lists(st.sampled_from(TEXTS["symbol"]), min_size=1, unique=True))
    rows = [
        {name: symbol if name == "symbol" else data.draw(st.sampled_from(TEXTS[name])) for name in columns}
        for symbol in symbols
    ]
    separator = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    respelt = data.draw(st.sampled_from([str, str.upper, str.lower, str.title]))
    form = st.sampled_from(["{}", '"{}"', " {} ", '  "{}"  '])
    noise = st.sampled_from(["", "  ", separator * 3, "# a comment, with; all of\tthem|", "  # and one"])

    def line(cells: list[str]) -> str:
        return separator.join(data.draw(form).format(cell) for cell in cells)

    lines = [data.draw(noise), line([respelt(name) for name in columns])]
    for row in rows:
        lines += [data.draw(noise), line([row[name] for name in columns]) + data.draw(st.sampled_from(["", separator]))]
    text = data.draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines)
    path = written(tmp_path_factory.mktemp("list"), text.encode(data.draw(st.sampled_from(["utf-8-sig", "utf-16"]))))

    assert read_tickers(path) == tuple(
        Ticker(
            row["symbol"],
            exchange=row["exchange"],
            primary_exchange=row["primaryExchange"],
            completeness=row["completeness"] or "strict",
            where=f"tickers.csv row {number}",
        )
        for number, row in zip(range(4, 99, 2), rows, strict=False)
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["tickers.csv", "empty"]),
        ("\n , ,\n", ["tickers.csv", "empty"]),
        (HEADER + "\n", ["names no ticker"]),
        (b"\xff\xfe\x00symbol", ["UTF-8"]),
        (HEADER.encode("utf-16-le"), ["UTF-16 without its mark", "save it as UTF-8"]),
        (HEADER.encode() + b"\n# Gr\xf6\xdfe\n", ["line 2", "the byte 0xf6", "save the file as UTF-8"]),
        (
            "symbol,secType,exchange\nAAPL,STK,SMART\n",
            ["line 1", "found 'symbol,secType,exchange'", "currency", "missing"],
        ),
        (HEADER + ",primary\nAAPL,STK,SMART,USD,\n", ["line 1", "primary", "unknown", "primaryExchange"]),
        (HEADER + ",,completeness\nAAPL,STK,SMART,USD,,\n", ["line 1", "without a name"]),
        ("symbol," + HEADER + "\nAAPL,AAPL,STK,SMART,USD\n", ["line 1", "symbol", "twice"]),
        (HEADER + "\nAAPL,STK,SMART\n", ["line 2", "found 'AAPL,STK,SMART'", "3 values for 4 columns", HEADER]),
        (HEADER + "\nAAPL,STK,SMART,USD,NASDAQ\n", ["line 2", "5 values for 4 columns", "commas"]),
        (HEADER + "\nAAPL;STK;SMART;USD\n", ["line 2", "'AAPL;STK;SMART;USD'", "by semicolons", "expected are commas"]),
        (HEADER + "\nAAPL,STK;SMART;USD\n", ["line 2", "separated by semicolons; expected are commas"]),
        (HEADER + '\n"AAPL,STK,SMART,USD\n', ["line 2", "a quote that is not closed"]),
        ("AAPL,STK,SMART,USD\n", ["line 1", "found 'AAPL,STK,SMART,USD'", "names no column", HEADER]),
        ("symbol secType exchange currency\n", ["line 1", "separated by commas, semicolons or tabs"]),
        (f"# {HEADER}\n\nAAPL,STK,SMART,USD\n", ["line 3", "names no column"]),
        ("# no ticker yet\n", ["tickers.csv", "empty"]),
        ("sep=;\n", ["tickers.csv", "empty"]),
        (HEADER + "\n\n# mine\nAAPL,STK,SMART,USD#\n", ["row 4, column currency"]),
        (HEADER.replace(",", "\t") + "\n\tSTK\tSMART\tUSD\n", ["row 2, column symbol", "empty"]),
        (HEADER + "\nAAPL,STK,SMART,USD\n,STK,SMART,USD\n", ["row 3", "column symbol", "empty"]),
        (HEADER + "\nAAPL,STK,,USD\n", ["row 2", "column exchange", "empty"]),
        (HEADER + "\nAAPL,STK,SMART,\n", ["row 2", "column currency", "empty"]),
        (HEADER + "\nAAPL,,SMART,USD\n", ["row 2", "column secType"]),
        (HEADER + "\naapl,STK,SMART,USD\n", ["row 2", "column symbol", "'aapl'", "capitals"]),
        (HEADER + "\n../etc,STK,SMART,USD\n", ["row 2", "column symbol"]),
        (HEADER + "\nAAPL,STK,smart,USD\n", ["row 2", "column exchange", "SMART"]),
        (HEADER + "\nAAPL,STK,SMART,US\n", ["row 2", "column currency", "three"]),
        (HEADER + "\nES,FUT,CME,USD\n", ["row 2", "column secType", "futures", "not supported yet"]),
        (HEADER + "\nSPX,OPT,SMART,USD\n", ["row 2", "column secType", "options", "not supported yet"]),
        (HEADER + "\nAAPL,Stock,SMART,USD\n", ["row 2", "column secType", "'Stock'", "STK"]),
        (HEADER + ",primaryExchange\nAAPL,STK,SMART,USD,nasdaq gs\n", ["row 2", "column primaryExchange"]),
        (HEADER + ",completeness\nAAPL,STK,SMART,USD,loose\n", ["row 2", "column completeness", "strict or lenient"]),
        (HEADER + "\nAAPL,STK,SMART,USD\nAAPL,STK,NYSE,USD\n", ["row 3", "column symbol", "row 2"]),
        (HEADER + "\nBRK B,STK,SMART,USD\nBRK.B,STK,NYSE,USD\n", ["row 3", "column symbol", "row 2"]),
    ],
)
def test_what_is_wrong_is_named_by_line_or_row_and_column_in_one_line(tmp_path, text, names) -> None:
    with pytest.raises(ValueError) as raised:
        read_tickers(written(tmp_path, text))
    assert "\n" not in str(raised.value)
    for name in names:
        assert name in str(raised.value)


def test_a_row_may_begin_and_end_its_ticker(tmp_path) -> None:
    text = HEADER + ",first_day,last_day\nAAPL,STK,SMART,USD,,\nFB,STK,SMART,USD,2018-01-01,2022-06-08\n"
    usual, own = (ticker.span(SHIPPED) for ticker in read_tickers(written(tmp_path, text)))
    assert usual == SHIPPED
    assert own == Span(date(2018, 1, 2), date(2022, 6, 8))


@pytest.mark.parametrize(
    ("first_day", "last_day", "named"),
    [
        ("2018", "", "column first_day '2018'"),
        ("2018-01-02", "2018-01-01", "column last_day 2018-01-01: no trading day"),
    ],
)
def test_days_that_are_none_name_row_and_column(tmp_path, first_day, last_day, named) -> None:
    (ticker,) = read_tickers(
        written(tmp_path, HEADER + f",first_day,last_day\nFB,STK,SMART,USD,{first_day},{last_day}\n")
    )
    with pytest.raises(ValueError, match=f"^tickers.csv row 2, {named}") as raised:
        ticker.span(SHIPPED)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.csv: cannot be read"):
        read_tickers(tmp_path / "nothing.csv")
