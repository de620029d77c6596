"""Crypto exchanges: bars and trades of spot markets, read by ccxt's code for each exchange, without its network.

ccxt writes the request and reads the reply; the collector sends it. An exchange keeps its own name there: `coinbase`
(Advanced Trade), `coinbaseexchange`, `binance` and `kraken` are tried, others of ccxt may work. BTCUSD, BTC-USD and
BTC/USD are one market. A minute without a trade has no bar. It needs the extra `exchanges`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from pipelines.data.venues.exchange_socket import ExchangeSocket
from pipelines.data.venues.exchanges import TIMEFRAMES, Key, collections, each_alone, recognised
from pipelines.errors import SettingsError
from pipelines.feed import FeedSettings, Limits, NotThisStream, Page, Parsed, Refused, Request, Retry, Stream
from pipelines.inbox.rows import BadRow, PassedOver, decode, epoch, parse_rows, require_answer, sequence
from pipelines.settings import setting
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_MOST_BARS = {"binance": 1000, "kraken": 720}
_MOST_TRADES = 1000
_LEAST_BARS = 290  # Coinbase refuses a span of more than 300
_NEWEST_ALONE = frozenset({"kraken"})  # it gives its newest bars, whatever span is asked for
_TRADES = {"binance": "fromId", "kraken": "since"}  # the parameter by which a walk goes on
_NEVER = 4_102_444_800_000  # 2100, in milliseconds
_BY_TIME = "-"  # in place of where a walk goes on: it goes on at a time
_RETRIED = frozenset({"NetworkError", "ExchangeNotAvailable", "RateLimitExceeded", "DDoSProtection", "OnMaintenance"})


@dataclass(frozen=True)
class Settings(FeedSettings):
    """Settings of `[sources.exchange]`."""

    venues: tuple[str, ...] = setting(("coinbase",), "which exchanges, as ccxt calls them: coinbase, binance, kraken")
    symbols: tuple[str, ...] = setting(("BTC/USD",), "which markets; BTCUSD, BTC-USD and BTC/USD are the same")
    history: Literal["bars", "trades"] = setting("bars", "what to collect; trades of binance and kraken alone")
    timeframe: Literal["1m", "5m", "15m", "30m", "1h", "4h", "6h", "1d"] = setting("5m", "length of a bar")
    proxy_url: str = setting(
        "", "ask here, at a path for each exchange (…/coinbase), not at the exchange itself", counts=False
    )


class _Asked(BaseException):
    """What ccxt would send. It is no Exception, so that none of ccxt's handlers takes it."""

    def __init__(self, method: str, url: str) -> None:
        self.method, self.url = method, url


class ExchangeFeed:
    """What exchanges say of their spot markets."""

    name: ClassVar[str] = "exchange"
    # A request for Binance's trades weighs 4 of the 6 000 that it allows a minute; Kraken allows about one a second.
    LIMITS: ClassVar[Limits] = Limits(
        {"coinbase": 8.0, "coinbaseexchange": 8.0, "binance": 20.0, "kraken": 0.9, "": 1.0}, concurrency=4
    )
    SECRETS: ClassVar[tuple[str, ...]] = ()
    LIBRARIES: ClassVar[tuple[str, ...]] = ("ccxt",)
    SOCKET: ClassVar = ExchangeSocket
    RESUMES: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._what = "trades" if settings.history == "trades" else settings.timeframe
        self._wanted = {_plain(one) for one in settings.symbols}
        self._exchanges: dict[tuple[str, str], Any] = {}

    # --- asking -------------------------------------------------------------------------------------------------

    def streams(self, universe: pl.DataFrame) -> Iterable[Stream]:
        """The list of each exchange, and the bars or trades of each market in them."""
        for venue in self._settings.venues:
            yield Stream(f"{venue}/list", "markets")
        step = timedelta(seconds=TIMEFRAMES.get(self._what, 60))
        for name, handle, symbol in universe.select("external_id", "handle", "symbol").iter_rows():
            venue, _, pair = name.partition("/")
            if venue in self._settings.venues and _plain(symbol) in self._wanted:
                yield Stream(f"{venue}/{quote(handle, safe='')}/{pair}/{self._what}", self._settings.history, step)

    def next_request(self, stream: Stream, cursor: str) -> Request | None:
        """The list, bars newest first, or trades oldest first."""
        exchange, key = self._exchange(stream), Key(stream.key)
        if stream.kind == "markets":
            return self._request(key.venue, exchange.fetch_markets)
        assert stream.since is not None
        assert stream.until is not None
        if stream.kind == "trades":
            if key.venue not in _TRADES:
                raise Refused(f'trades of {key.venue} are not collected; write history = "bars"')
            place, _, known = (cursor or f"{_BY_TIME} {_milliseconds(stream.since)}").partition(" ")
            since, more = (int(known), {}) if place == _BY_TIME else (None, {_TRADES[key.venue]: place})
            request = self._request(key.venue, lambda: exchange.fetch_trades(key.symbol, since, _MOST_TRADES, more))
            return replace(request, note=known)
        count = _MOST_BARS.get(key.venue, _LEAST_BARS)
        high = epoch(int(cursor)) if cursor else stream.until
        low = max(stream.since, high - count * key.step)
        span, until = _milliseconds(low), {} if key.venue in _NEWEST_ALONE else {"until": _milliseconds(high)}
        request = self._request(key.venue, lambda: exchange.fetch_ohlcv(key.symbol, key.what, span, count, until))
        return replace(request, note=f"{int(low.timestamp())} {int(high.timestamp())}")

    def page(self, stream: Stream, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Page:
        """A list, or bars or trades of a span."""
        exchange = self._exchange(stream)
        reply = _answer(exchange, request, status, headers, body)
        if stream.kind == "markets":
            if not any(collections(reply)):
                raise Refused("the reply has no markets")
            return Page(body, "", None, None, is_last=True)
        rows = _rows(exchange, stream, reply)
        assert stream.since is not None
        assert stream.until is not None
        if stream.kind == "trades":
            return _page_of_trades(exchange, stream, request, body, reply, rows)
        key = Key(stream.key)
        low, high = (epoch(int(one)) for one in request.note.split())
        is_last = low <= stream.since + timedelta(seconds=1)
        if key.venue in _NEWEST_ALONE:
            starts = [exchange.parse_ohlcv(row)[0] for row in rows]
            is_last = True
            low = max(low, epoch(min(starts) // 1000)) if len(starts) >= _MOST_BARS[key.venue] else low
        seconds = int(key.step.total_seconds())
        whole = epoch(int(high.timestamp()) // seconds * seconds)  # the bar after it is still running
        return Page(body, "" if is_last else str(int(low.timestamp())), low, max(low, whole), is_last)

    # --- reading ------------------------------------------------------------------------------------------------

    def parse(self, stream: Stream, body: bytes) -> Parsed:
        """The markets that the settings name, or the bars or trades of a reply."""
        exchange, key = self._exchange(stream), Key(stream.key)
        if stream.kind == "markets":
            replies = [{"reply": one} for one in each_alone(decode(body))]
            return parse_rows(
                "markets", replies, {"reply"}, lambda row: self._markets(exchange, key.venue, row["reply"])
            )
        rows = [{"row": one} for one in _rows(exchange, stream, decode(body))]
        known = {"market_id": f"{self.name}:{key.venue}/{key.pair}"}
        if stream.kind == "trades":
            return parse_rows("ticks", rows, {"row"}, lambda row: known | _trade(exchange, row["row"]))
        return parse_rows("bars", rows, {"row"}, lambda row: known | _bar(exchange, row["row"], key.step))

    def wants(self, stream: Stream) -> bool:
        """Of these exchanges, and bars of this length or trades."""
        key = Key(stream.key)
        return key.venue in self._settings.venues and (stream.kind == "markets" or key.what == self._what)

    def recognise(self, body: bytes) -> Stream | str:
        """What a saved reply is: the stream that it could be of, or why it is none that is collected."""
        return recognised(decode(body))

    # --- ccxt ---------------------------------------------------------------------------------------------------

    def _exchange(self, stream: Stream) -> Any:
        """ccxt's exchange of a stream, which knows its market alone. Raises SettingsError where there is none."""
        key = Key(stream.key)
        if (key.venue, key.pair) not in self._exchanges:
            exchange = _offline(key.venue)({"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["spot"]}}})
            exchange.number = Decimal
            base, _, counter = key.pair.partition("-")
            market = {"id": key.handle, "symbol": key.symbol, "base": base, "quote": counter}
            kind = {"type": "spot", "spot": True, "contract": False, "active": True}
            exchange.set_markets([exchange.safe_market_structure(market | kind)])
            self._exchanges[key.venue, key.pair] = exchange
        return self._exchanges[key.venue, key.pair]

    def _request(self, venue: str, call: Callable[[], Any]) -> Request:
        """What ccxt sends when it is called."""
        try:
            call()
        except _Asked as asked:
            parts, proxy = urlsplit(asked.url), self._settings.proxy_url.rstrip("/")
            address = f"{proxy}/{venue}" if proxy else f"{parts.scheme}://{parts.netloc}"
            params = tuple(parse_qsl(parts.query, keep_blank_values=True))
            return Request(address + parts.path, params, method=asked.method, path_class=venue)
        except Exception as error:
            raise Refused(f"ccxt cannot ask {venue} for this: {type(error).__name__}: {error}") from error
        raise Refused(f"ccxt asks {venue} for nothing")

    def _markets(self, exchange: Any, venue: str, reply: Any) -> list[Mapping[str, Any]]:
        """The markets of a reply with one, of those that the settings name."""
        exchange.reply = reply
        markets = _by_ccxt(exchange.fetch_markets)
        exchange.reply = None
        if not markets:
            raise BadRow("ccxt finds no market in it")
        return [self._market(exchange, venue, one) for one in markets]

    def _market(self, exchange: Any, venue: str, market: Mapping[str, Any]) -> Mapping[str, Any]:
        if not market["spot"]:
            raise PassedOver("it is no spot market")
        symbol, pair = f"{market['base']}/{market['quote']}", f"{market['base']}-{market['quote']}"
        if _plain(symbol) not in self._wanted:
            raise PassedOver("the settings do not name it")
        seconds = TIMEFRAMES.get(self._what)
        external = f"{venue}/{pair}"
        return {
            "market_id": f"{self.name}:{external}",
            "source": self.name,
            "external_id": external,
            "symbol": symbol,
            "kind": "spot",
            "status": "open" if market.get("active") is not False else "closed",
            "tick_size": _tick_size(exchange, market),
            "interval": None if seconds is None else f"{seconds}s",
            "interval_seconds": seconds,
            "timezone": None if seconds is None else "UTC",
            "quote_currency": market["quote"],
            "handle": market["id"],
        }


def _offline(venue: str) -> Any:
    """ccxt's class of an exchange, without network: `reply` is what it is answered, None: it raises _Asked. `rows` are
    those that it found in the reply, as they came."""
    try:
        import ccxt
    except ImportError as error:
        raise SettingsError(
            "exchanges are read by ccxt, which is not installed",
            where="[sources.exchange]",
            fix="pip install 'tidemill[exchanges]'",
        ) from error
    if venue not in ccxt.exchanges:
        raise SettingsError(
            f"ccxt knows no exchange {venue!r}",
            where="[sources.exchange] venues",
            fix=f"name one of {', '.join(ccxt.exchanges)}",
        )

    class Offline(getattr(ccxt, venue)):  # type: ignore[misc]
        reply: Any = None
        rows: Sequence[Any] | None = None

        def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            if self.reply is None:
                raise _Asked(method, url)
            reply, self.reply = self.reply, {}  # what it asks besides has no answer
            return reply

        def parse_ohlcvs(self, ohlcvs: Any, *_: Any, **__: Any) -> list[Any]:
            self.rows = ohlcvs
            return []

        def parse_trades(self, trades: Any, *_: Any, **__: Any) -> list[Any]:
            self.rows = trades
            return []

    return Offline


def _rows(exchange: Any, stream: Stream, reply: Any) -> Sequence[Any]:
    """The rows of a reply as the exchange wrote them. Raises Refused where ccxt finds none, but for an empty list."""
    key = Key(stream.key)
    lists = [len(one) for one in collections(reply) if isinstance(one, list)]
    exchange.reply, exchange.rows = reply, None
    try:
        if stream.kind == "trades":
            exchange.fetch_trades(key.symbol)
        else:
            exchange.fetch_ohlcv(key.symbol, key.what)
    except Exception as error:
        raise Refused(f"ccxt cannot read the reply: {type(error).__name__}: {error}") from error
    finally:
        exchange.reply = None
    rows: Sequence[Any] | None = exchange.rows
    if rows is None or len(rows) not in lists:
        raise Refused(f"the reply has no {stream.kind} of {key.handle or key.symbol}")
    return rows


def _page_of_trades(
    exchange: Any, stream: Stream, request: Request, body: bytes, reply: Any, rows: Sequence[Any]
) -> Page:
    """Trades go from old to new: a page is known from the end of the one before to its last trade."""
    assert stream.until is not None
    low = high = datetime.fromtimestamp(int(request.note) / 1000, UTC)
    if rows:
        last = _by_ccxt(lambda: exchange.parse_trade(rows[-1], _market_of(exchange)))
        high = max(low, datetime.fromtimestamp(last["timestamp"] / 1000, UTC))
    if len(rows) < _MOST_TRADES:  # all that there are, up to the end of what ccxt asked for
        high = max(low, datetime.fromtimestamp(int(dict(request.params).get("endTime", _NEVER)) / 1000, UTC))
    place = _BY_TIME
    if rows:
        place = reply["result"]["last"] if exchange.id == "kraken" else str(int(last["id"]) + 1)
    if high >= stream.until:
        return Page(body, "", low, max(low, stream.until), is_last=True)
    return Page(body, f"{place} {_milliseconds(high)}", low, high, is_last=False)


def _bar(exchange: Any, row: Any, step: timedelta) -> dict[str, Any]:
    at, *values = _by_ccxt(lambda: exchange.parse_ohlcv(row, _market_of(exchange)))
    names = ("open", "high", "low", "close", "volume")
    found = {name: _number(value, name) for name, value in zip(names, values, strict=True)}
    start = _instant(at)
    return {"start": start, "end": start + step, **found}


def _trade(exchange: Any, row: Any) -> dict[str, Any]:
    trade = _by_ccxt(lambda: exchange.parse_trade(row, _market_of(exchange)))
    name = trade["id"]
    if name is None:
        raise BadRow("the trade has no id")
    return {
        "ts": _instant(trade["timestamp"]),
        "seq": int(name) if name.isdecimal() and int(name) < 1 << 63 else sequence(name),
        "price": _number(trade["price"], "price"),
        "size": _number(trade["amount"], "amount"),
        "side": trade["side"] if trade["side"] in ("buy", "sell") else None,
    }


def _by_ccxt(call: Callable[[], Any]) -> Any:
    """What ccxt makes of a row. Raises BadRow for whatever it raises."""
    try:
        return call()
    except Exception as error:
        raise BadRow(f"ccxt cannot read it: {type(error).__name__}: {error}") from error


def _market_of(exchange: Any) -> Any:
    return next(iter(exchange.markets.values()))


def _instant(milliseconds: Any) -> datetime:
    if milliseconds is None:
        raise BadRow("there is no time")
    return epoch(Decimal(int(milliseconds)) / 1000)


def _number(value: Any, name: str) -> float:
    if not isinstance(value, Decimal) or not value.is_finite():
        raise BadRow(f"{name} is no number")
    return float(value)


def _tick_size(exchange: Any, market: Mapping[str, Any]) -> float | None:
    """The least step of a price: ccxt gives it as such, or as a number of decimal places."""
    precision = market["precision"]["price"]
    if precision is None:
        return None
    import ccxt

    is_step = exchange.precisionMode == ccxt.TICK_SIZE
    return float(precision) if is_step else float(Decimal(1).scaleb(-int(precision)))


def _answer(exchange: Any, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """The reply, decoded. Raises what ccxt knows of an exchange's errors as a FeedFault."""
    reply = decode(body) if status < 400 or body[:1] in b"{[" else None
    text = body.decode(errors="replace")
    try:
        exchange.handle_errors(status, "", request.url, request.method, dict(headers), text, reply, {}, "")
    except Exception as error:  # a reply that ccxt did not foresee makes it raise anything
        names = {one.__name__ for one in type(error).__mro__}
        why = f"{type(error).__name__}: {str(error)[:200]}"
        if names & _RETRIED:
            raise Retry(why) from error
        if "BadSymbol" in names:
            raise NotThisStream(f"the exchange has no such market: {why}") from error
        raise Refused(f"the exchange refuses the request (HTTP {status}): {why}") from error
    require_answer(status, body)
    return reply


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _plain(symbol: str) -> str:
    """BTC-USD, BTC/USD, btcusd and XBTUSD as BTCUSD."""
    letters = re.sub(r"[^A-Z0-9]", "", symbol.upper())
    return "BTC" + letters[3:] if letters.startswith("XBT") else letters


FEED = ExchangeFeed
