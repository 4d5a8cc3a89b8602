"""The contracts that the simulated TWS knows: US stocks and funds.

Here: which there are, which of them a client means, and how TWS describes one. Not here: their bars (``tws.history``).

Options and futures are unknown here, as every contract is that is no stock. Names, listing venues and first trading
days are the real ones, so that a real list of tickers works; the contract numbers are made up. GLD is listed twice in
dollars, as it is in reality: without a primary exchange it is ambiguous. So are dollars no sign of a US exchange: VUAA
is quoted in them in London, DLR.U in Toronto.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from data_assets.sandbox.market.market import FIRST_MINUTE, uniform
from data_assets.sandbox.market.minute_bars import last_minute
from data_assets.sandbox.tws.requests import ContractQuery, Refused
from data_assets.sandbox.tws.wire import Field
from data_assets.trading_calendar import NEW_YORK, is_session, session

SMART = "SMART"
TIME_ZONE = "US/Eastern"
LONDON = "GB-Eire"  # as TWS names it

_STOCK = "STK"
_CLASS = "NMS"
_OTHER_NAMES = {"ISLAND": "NASDAQ"}
_ORDER_TYPES = "LMT,MKT,STP"
_DAYS_OF_HOURS = 6
_LONDON_OPENS, _LONDON_CLOSES = time(8), time(16, 30)


@dataclass(frozen=True, slots=True)
class Stock:
    """One listing.

    Attributes:
        symbol: such as ``AAPL``.
        primary_exchange: as TWS spells it.
        name: of the company or fund, in ASCII.
        listed: first day of trading; there is no data before it.
        currency: that it is quoted in.
        time_zone: of its exchange. Sessions are New York's in all of them, which no US stock sees.
    """

    symbol: str
    primary_exchange: str
    name: str
    listed: date
    currency: str = "USD"
    time_zone: str = TIME_ZONE

    @property
    def con_id(self) -> int:
        """The number that names this contract and no other."""
        return 100_000_000 + int(uniform("contract", self.symbol, self.primary_exchange) * 800_000_000)


STOCKS = (
    Stock("AAPL", "NASDAQ", "APPLE INC", date(1980, 12, 12)),
    Stock("AMD", "NASDAQ", "ADVANCED MICRO DEVICES", date(1980, 3, 17)),
    Stock("AMZN", "NASDAQ", "AMAZON.COM INC", date(1997, 5, 15)),
    Stock("COIN", "NASDAQ", "COINBASE GLOBAL INC -CLASS A", date(2021, 4, 14)),
    Stock("DLR.U", "TSE", "GLOBAL X US DOLLAR CURRENCY", date(2011, 4, 5)),
    Stock("DIA", "ARCA", "SPDR DJIA TRUST", date(1998, 1, 20)),
    Stock("DIS", "NYSE", "WALT DISNEY CO/THE", date(1957, 11, 12)),
    Stock("GE", "NYSE", "GENERAL ELECTRIC", date(1892, 6, 23)),
    Stock("GLD", "ARCA", "SPDR GOLD SHARES", date(2004, 11, 18)),
    Stock("GLD", "LSEETF", "WISDOMTREE PHYSICAL GOLD", date(2007, 4, 24), time_zone=LONDON),
    Stock("GOOGL", "NASDAQ", "ALPHABET INC-CL A", date(2004, 8, 19)),
    Stock("IBM", "NYSE", "INTL BUSINESS MACHINES CORP", date(1915, 11, 11)),
    Stock("INTC", "NASDAQ", "INTEL CORP", date(1971, 10, 13)),
    Stock("IWM", "ARCA", "ISHARES RUSSELL 2000 ETF", date(2000, 5, 26)),
    Stock("JPM", "NYSE", "JPMORGAN CHASE & CO", date(1969, 3, 5)),
    Stock("KO", "NYSE", "COCA-COLA CO/THE", date(1919, 9, 5)),
    Stock("META", "NASDAQ", "META PLATFORMS INC-CLASS A", date(2012, 5, 18)),
    Stock("MSFT", "NASDAQ", "MICROSOFT CORP", date(1986, 3, 13)),
    Stock("NFLX", "NASDAQ", "NETFLIX INC", date(2002, 5, 23)),
    Stock("NVDA", "NASDAQ", "NVIDIA CORP", date(1999, 1, 22)),
    Stock("PEP", "NASDAQ", "PEPSICO INC", date(1919, 9, 18)),
    Stock("QQQ", "NASDAQ", "INVESCO QQQ TRUST SERIES 1", date(1999, 3, 10)),
    Stock("SPY", "ARCA", "SS SPDR S&P 500 ETF TRUST", date(1993, 1, 29)),
    Stock("TSLA", "NASDAQ", "TESLA INC", date(2010, 6, 29)),
    Stock("VUAA", "LSEETF", "VANG S&P500 USDA", date(2019, 5, 14), time_zone=LONDON),
    Stock("XOM", "NYSE", "EXXON MOBIL CORP", date(1920, 3, 25)),
)


class Listings:
    """The contracts there are."""

    def __init__(self, stocks: Sequence[Stock] = STOCKS) -> None:
        self._stocks = tuple(stocks)

    def matching(self, query: ContractQuery) -> list[Stock]:
        """Every contract that ``query`` may mean.

        Raises:
            Refused: 200, there is none.
        """
        found = [stock for stock in self._stocks if _matches(stock, query)]
        if not found:
            raise no_contract()
        return found

    def one(self, query: ContractQuery) -> Stock:
        """The contract that ``query`` means.

        Raises:
            Refused: 200, there is none, or more than one.
        """
        found = self.matching(query)
        if len(found) > 1:
            raise Refused(200, f"The contract description specified for {found[0].symbol} is ambiguous.")
        return found[0]


def no_contract() -> Refused:
    """What TWS says of a contract that it does not know."""
    return Refused(200, "No security definition has been found for the request")


def described(stock: Stock, req_id: int, exchange: str, now: datetime) -> tuple[Field, ...]:
    """The fields of message 10, which describes ``stock`` as seen on ``exchange``.

    Args:
        stock: the contract.
        req_id: the request that asked.
        exchange: as the client gave it; empty means every one.
        now: aware; the hours described begin with its day.
    """
    regular, whole = (_hours(stock, now, extended=extended) for extended in (False, True))
    return (
        *(10, req_id, stock.symbol, _STOCK, "", "0", "", exchange or SMART, stock.currency, stock.symbol),
        *(_CLASS, _CLASS, stock.con_id, "0.01", "", _ORDER_TYPES, ",".join(_venues(stock)), 1, 0, stock.name),
        *(stock.primary_exchange, "", "", "", "", stock.time_zone, whole, regular, "", "", 0),
        *(1, "", "", "26", "", "COMMON", "0.0001", "0.0001", "100"),
    )


def hours(stock: Stock, day: date, *, extended: bool) -> tuple[datetime, datetime]:
    """When trading in ``stock`` begins and ends on a session, in its time zone.

    Extended trading lasts from 04:00 to 20:00, or to 17:00 on days that close at 13:00. London trades from 08:00 to
    16:30 of its own time, and has no other hours.

    Raises:
        NotASession: ``day`` is none.
    """
    regular = session(day)
    if stock.time_zone == LONDON:
        opens, closes = (datetime.combine(day, at, ZoneInfo(LONDON)) for at in (_LONDON_OPENS, _LONDON_CLOSES))
        return opens, closes
    if not extended:
        return regular.open.astimezone(NEW_YORK), regular.close.astimezone(NEW_YORK)
    midnight = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)
    return midnight + timedelta(minutes=FIRST_MINUTE), midnight + timedelta(minutes=last_minute(day))


def _matches(stock: Stock, query: ContractQuery) -> bool:
    if query.con_id and query.con_id != stock.con_id:
        return False
    if not query.con_id and (query.sec_type != _STOCK or not (query.symbol or query.local_symbol)):
        return False
    asked = [
        (query.sec_type, (_STOCK,)),
        (query.symbol, (stock.symbol,)),
        (query.local_symbol, (stock.symbol,)),
        (query.currency, (stock.currency,)),
        (query.trading_class, (_CLASS,)),
        (_OTHER_NAMES.get(query.exchange, query.exchange), _venues(stock)),
        (_OTHER_NAMES.get(query.primary_exchange, query.primary_exchange), (stock.primary_exchange,)),
    ]
    return all(value in known for value, known in asked if value)


def _venues(stock: Stock) -> tuple[str, ...]:
    return SMART, stock.primary_exchange


def _hours(stock: Stock, now: datetime, *, extended: bool) -> str:
    """The hours of the next days, as TWS writes them."""
    first = now.astimezone(NEW_YORK).date()
    days = (first + timedelta(days=offset) for offset in range(_DAYS_OF_HOURS))
    return ";".join(_hours_of(stock, day, extended=extended) for day in days)


def _hours_of(stock: Stock, day: date, *, extended: bool) -> str:
    if not is_session(day):
        return f"{day:%Y%m%d}:CLOSED"
    opened, closed = hours(stock, day, extended=extended)
    return f"{opened:%Y%m%d:%H%M}-{closed:%Y%m%d:%H%M}"
