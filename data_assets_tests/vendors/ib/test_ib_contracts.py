from __future__ import annotations

from pathlib import Path

import pytest

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
    ("text", "names"),
    [
        ("", ["tickers.csv", "empty"]),
        ("\n , ,\n", ["tickers.csv", "empty"]),
        (HEADER + "\n", ["names no ticker"]),
        (b"\xff\xfe\x00symbol", ["UTF-8"]),
        ("symbol,secType,exchange\nAAPL,STK,SMART\n", ["row 1", "currency", "missing"]),
        (HEADER + ",primary\nAAPL,STK,SMART,USD,\n", ["row 1", "primary", "unknown", "primaryExchange"]),
        (HEADER + ",\nAAPL,STK,SMART,USD,\n", ["row 1", "without a name"]),
        ("symbol," + HEADER + "\nAAPL,AAPL,STK,SMART,USD\n", ["row 1", "symbol", "twice"]),
        (HEADER + "\nAAPL,STK,SMART\n", ["row 2", "3 values for 4 columns"]),
        (HEADER + "\nAAPL,STK,SMART,USD,NASDAQ\n", ["row 2", "5 values for 4 columns"]),
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
def test_what_is_wrong_is_named_by_row_and_column_in_one_line(tmp_path, text, names) -> None:
    with pytest.raises(ValueError) as raised:
        read_tickers(written(tmp_path, text))
    assert "\n" not in str(raised.value)
    for name in names:
        assert name in str(raised.value)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.csv: cannot be read"):
        read_tickers(tmp_path / "nothing.csv")
