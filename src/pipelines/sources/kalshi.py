"""Kalshi: markets, candles with quotes, and trades of the exchange for event contracts. No account is needed.

API: https://docs.kalshi.com (trade-api v2). Three generations of its schema are read: whole cents beside dollar texts,
dollar texts with fixed-point counts, and the candles of markets settled long ago, dollar texts without a suffix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipelines.data.venues.known_fields import KALSHI_CANDLE, KALSHI_MARKET, KALSHI_TRADE
from pipelines.feed import (
    FeedSettings,
    Limits,
    NotThisStream,
    Page,
    Parsed,
    Request,
    Stream,
)
from pipelines.inbox.rows import (
    BadRow,
    PassedOver,
    Row,
    decode,
    epoch,
    from_epoch,
    instant,
    number,
    oldest,
    optional_instant,
    optional_number,
    optional_text,
    parse_rows,
    real,
    require_answer,
    rows_in,
    sequence,
    text,
)
from pipelines.settings import setting
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_MOST_CANDLES = 4000  # a request; the venue allows 5000
_PAGE = 1000  # rows of a page of markets or trades
_OLD = "old:"  # a cursor that begins with it asks where markets settled long ago are served
_FIELDS = ("open", "high", "low", "close")

_STATUS = {"active": "open", "open": "open", "initialized": "open", "unopened": "open"}
_FINAL = ("finalized", "settled")


@dataclass(frozen=True)
class Settings(FeedSettings):
    """Settings of `[sources.kalshi]`."""

    series: tuple[str, ...] = setting((), "take all open markets of these series, such as KXFED")
    events: tuple[str, ...] = setting((), "take all markets of these events, such as KXFED-26DEC")
    markets: tuple[str, ...] = setting((), "take these markets, by ticker")
    query: str = setting("", "take markets whose title has all these words")
    limit: int = setting(50, "collect prices of so many open markets at most, the most traded ones", low=1)
    history: Literal["bars", "trades"] = setting("bars", "what to collect of each market: candles, or each trade")
    interval_minutes: Literal[1, 60, 1440] = setting(60, "length of a candle", unit="minutes")
    url: str = setting("https://api.elections.kalshi.com/trade-api/v2", "where the API is", counts=False)


class KalshiFeed:
    """What Kalshi says of its markets. A candle without a trade has the middle of its quotes as price, never one from
    before it; where it has neither, nothing is said of it."""

    name: ClassVar[str] = "kalshi"
    LIMITS: ClassVar[Limits] = Limits({"": 18.0}, concurrency=8)  # the basic tier has 20 reads a second
    SECRETS: ClassVar[tuple[str, ...]] = ()
    RESUMES: ClassVar[bool] = False  # its cursors belong to the times that were asked for

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._step = timedelta(minutes=settings.interval_minutes)

    # --- asking -------------------------------------------------------------------------------------------------

    def streams(self, universe: pl.DataFrame) -> Iterable[Stream]:
        """The list of markets, those that it no longer has and that are not settled, and each market's prices."""
        import polars as pl

        yield Stream("list", "markets")
        unsettled = universe.filter(pl.col("status").is_in(["closed", "unlisted"])).get_column("external_id")
        if len(unsettled):
            yield Stream("by name", "markets", members=tuple(unsettled))
        kind: Literal["bars", "trades"] = self._settings.history
        overlap = self._step if kind == "bars" else timedelta(seconds=2)
        is_open = universe.get_column("status") == "open"
        ranked = universe.filter(is_open).sort("volume", descending=True, nulls_last=True).head(self._settings.limit)
        for row in pl.concat([ranked, universe.filter(~is_open)]).iter_rows(named=True):
            until = row["resolved_at"] or (row["end_at"] if row["status"] != "open" else None)
            length = f"/{self._settings.interval_minutes}" if kind == "bars" else ""
            yield Stream(f"{row['handle']}/{row['external_id']}{length}", kind, overlap, row["opened_at"], until)

    def next_request(self, stream: Stream, cursor: str) -> Request | None:
        """The next page of markets, of candles (newest span first) or of trades (newest first)."""
        if stream.kind == "markets":
            return self._ask_markets(stream, cursor)
        assert stream.since is not None
        assert stream.until is not None
        series, ticker, _ = _parts(stream)
        if stream.kind == "trades":
            params = [("ticker", ticker), ("limit", str(_PAGE)), ("min_ts", _seconds(stream.since))]
            params += [("max_ts", str(int(stream.until.timestamp()) + 1)), *([("cursor", cursor)] if cursor else [])]
            return Request(f"{self._settings.url}/markets/trades", tuple(params))
        is_old, end = cursor.startswith(_OLD), cursor.removeprefix(_OLD)
        high = epoch(int(end)) if end else stream.until
        low = max(stream.since, high - _MOST_CANDLES * self._step)
        params = [("start_ts", _seconds(low)), ("end_ts", _seconds(high))]
        params.append(("period_interval", str(self._settings.interval_minutes)))
        place = f"historical/markets/{ticker}" if is_old else f"series/{series}/markets/{ticker}"
        return Request(f"{self._settings.url}/{place}/candlesticks", tuple(params))

    def _ask_markets(self, stream: Stream, cursor: str) -> Request | None:
        settings = self._settings
        asked: list[tuple[tuple[str, str], ...]] = []
        if stream.members:
            groups = [stream.members[at : at + 50] for at in range(0, len(stream.members), 50)]
            asked = [(("tickers", ",".join(group)),) for group in groups]
        else:
            asked += [(("tickers", ",".join(settings.markets)),)] if settings.markets else []
            asked += [(("event_ticker", name),) for name in settings.events]
            asked += [(("series_ticker", name), ("status", "open")) for name in settings.series]
            asked = asked or [(("status", "open"), ("mve_filter", "exclude"))]
        at, _, place = cursor.partition("|")
        number_ = int(at or 0)
        if number_ >= len(asked):  # a restart with fewer members
            return None
        params = (("limit", str(_PAGE)), *asked[number_], *((("cursor", place),) if place else ()))
        return Request(f"{settings.url}/markets", params, note=f"{number_}/{len(asked)}")

    def page(self, stream: Stream, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Page:
        """A page of markets, candles or trades. 404 for candles: those of markets settled long ago are elsewhere."""
        if status == 404 and stream.kind == "bars" and "/historical/" not in request.url:
            raise NotThisStream("the market is served as a historical one", instead=_OLD)
        if status == 404:
            raise NotThisStream("the venue has no such market")
        require_answer(status, body)
        reply = decode(body)
        if stream.kind == "markets":
            rows_in(reply, "markets")
            at, _, count = request.note.partition("/")
            if place := reply.get("cursor") or "":
                return Page(body, f"{at}|{place}", None, None, is_last=False)
            is_last = int(at) + 1 == int(count)
            return Page(body, "" if is_last else f"{int(at) + 1}|", None, None, is_last)
        asked = dict(request.params)
        if stream.kind == "trades":
            return _page_of_trades(stream, rows_in(reply, "trades"), reply.get("cursor") or "", body)
        rows_in(reply, "candlesticks")
        low, high = epoch(int(asked["start_ts"])), epoch(int(asked["end_ts"]))
        assert stream.since is not None
        is_last = low <= stream.since + timedelta(seconds=1)
        prefix = _OLD if "/historical/" in request.url else ""
        step = self._step.total_seconds()
        whole = epoch(int(high.timestamp() // step * step))  # the candle after it is still running
        return Page(body, "" if is_last else f"{prefix}{_seconds(low)}", low, max(low, whole), is_last)

    # --- reading ------------------------------------------------------------------------------------------------

    def parse(self, stream: Stream, body: bytes) -> Parsed:
        """The markets, bars or ticks of a reply."""
        reply = decode(body)
        if stream.kind == "markets":
            rows = [row for row in _markets_in(reply) if self._is_wanted(row)]
            return parse_rows("markets", rows, KALSHI_MARKET, self._market)
        _, ticker, step = _parts(stream)
        if stream.kind == "trades":
            return parse_rows("ticks", rows_in(reply, "trades"), KALSHI_TRADE, lambda row: self._trade(row, ticker))
        rows = rows_in(reply, "candlesticks")
        return parse_rows("bars", rows, KALSHI_CANDLE, lambda row: self._candle(row, ticker, step))

    def wants(self, stream: Stream) -> bool:
        """Whether the settings are about these pages: not about candles of another length."""
        _, _, step = _parts(stream)
        return stream.kind in ("markets", self._settings.history) and (stream.kind != "bars" or step == self._step)

    def recognise(self, body: bytes) -> Stream | str:
        """What a saved reply is: the stream that it could be of, or why it is none that is collected."""
        reply = decode(body)
        if not isinstance(reply, Mapping):
            return "not collected: neither markets nor prices"
        if "candlesticks" in reply:
            ends = sorted(int(row["end_period_ts"]) for row in reply["candlesticks"] if isinstance(row, Mapping))
            apart = min((late - early for early, late in pairwise(ends) if late > early), default=3600)
            return Stream(f"/{reply.get('ticker') or 'UNKNOWN'}/{apart // 60}", "bars")
        if "trades" in reply:
            found = {row.get("ticker") for row in reply["trades"] if isinstance(row, Mapping)}
            return Stream(f"/{next(iter(found)) if len(found) == 1 else ''}", "trades")
        if "markets" in reply or "market" in reply or any("markets" in one for one in reply.get("events") or ()):
            return Stream("list", "markets")
        known = {"events", "event", "series", "orderbook", "orderbook_fp", "exchange_active", "order", "fills"}
        known |= {"balance", "market_positions", "event_positions", "settlements", "orders"}
        return "not collected: " + (", ".join(sorted(known & reply.keys())) or "neither markets nor prices")

    def _is_wanted(self, row: Any) -> bool:
        words = self._settings.query.lower().split()
        title = str(row.get("title", "")).lower() if isinstance(row, Mapping) else ""
        return all(word in title for word in words)

    def _market(self, row: Row) -> Mapping[str, Any]:
        ticker, status = text(row, "ticker"), text(row, "status")
        event = text(row, "event_ticker")
        resolution, settled_at = _resolution(row, status)
        title, side = text(row, "title"), optional_text(row, "yes_sub_title")
        minutes = self._settings.interval_minutes
        is_bars = self._settings.history == "bars"
        return {
            "market_id": f"{self.name}:{ticker}",
            "source": self.name,
            "external_id": ticker,
            "symbol": ticker,
            "question": title if side is None or side in title else f"{title} ({side})",
            "kind": "binary",
            "status": "resolved" if resolution is not None else _STATUS.get(status, "closed"),
            "end_at": optional_instant(row, "close_time"),
            "resolution": None if resolution is None else float(resolution),
            "resolved_at": settled_at,
            "tick_size": _tick_size(row),
            "interval": f"{minutes * 60}s" if is_bars else None,
            "interval_seconds": minutes * 60 if is_bars else None,
            "timezone": "UTC" if is_bars else None,
            "volume": _float(_either(row, "volume_fp", "volume")),
            "liquidity": _float(optional_number(row, "liquidity_dollars")),
            "quote_currency": "USD",
            "event_id": event,
            "handle": optional_text(row, "series_ticker") or event.partition("-")[0],
            "opened_at": optional_instant(row, "open_time"),
        }

    def _candle(self, row: Row, ticker: str, step: timedelta) -> Mapping[str, Any]:
        end = from_epoch(row, "end_period_ts")
        traded, bid, ask = (_prices(row, side) for side in ("price", "yes_bid", "yes_ask"))
        if bid is None or ask is None:
            raise BadRow("yes_bid or yes_ask is missing")
        prices = traded
        if prices is None:
            if bid["close"] == 0 and ask["close"] == 1:
                raise PassedOver("no trade and no quote")
            prices = {name: (bid[name] + ask[name]) / 2 for name in ("open", "close")}
            prices["high"] = max(prices.values())
            prices["low"] = min(prices["open"], prices["close"])
        return {
            "market_id": f"{self.name}:{ticker}",
            "start": end - step,
            "end": end,
            **{name: float(value) for name, value in prices.items()},
            "volume": _float(_either(row, "volume_fp", "volume")),
            **{f"bid_{name}": float(value) for name, value in bid.items()},
            **{f"ask_{name}": float(value) for name, value in ask.items()},
        }

    def _trade(self, row: Row, ticker: str) -> Mapping[str, Any]:
        found = text(row, "ticker")
        if ticker and found != ticker:
            raise BadRow(f"ticker is {found!r}, not {ticker!r}")
        price = _money(row, "yes_price")
        if price is None:
            no = _money(row, "no_price")
            if no is None:
                raise BadRow("yes_price is missing")
            price = 1 - no
        side = optional_text(row, "taker_outcome_side") or text(row, "taker_side")
        if side not in ("yes", "no"):
            raise BadRow(f"taker_side is {side!r}, neither yes nor no")
        return {
            "market_id": f"{self.name}:{found}",
            "ts": instant(row, "created_time"),
            "seq": sequence(text(row, "trade_id")),
            "price": float(price),
            "size": real(row, "count_fp" if "count_fp" in row else "count"),
            "side": "buy" if side == "yes" else "sell",
        }


def _parts(stream: Stream) -> tuple[str, str, timedelta]:
    """Series, ticker and length of a candle of a stream of prices."""
    series, ticker, minutes = (*stream.key.split("/"), "", "")[:3]
    return series, ticker, timedelta(minutes=int(minutes or 60))


def _markets_in(reply: Any) -> list[Any]:
    """The markets of a list, of one market, or within events."""
    if isinstance(reply, Mapping) and isinstance(reply.get("market"), Mapping):
        return [reply["market"]]
    if isinstance(reply, Mapping) and "markets" not in reply and "events" in reply:
        return [row for event in rows_in(reply, "events") for row in event.get("markets") or ()]
    return rows_in(reply, "markets")


def _page_of_trades(stream: Stream, rows: list[Any], place: str, body: bytes) -> Page:
    """Newest first: what is known goes from the oldest row of the page up to the end that was asked for."""
    assert stream.since is not None
    low = (oldest(rows, lambda row: instant(row, "created_time")) if place else None) or stream.since
    return Page(body, place, max(low, stream.since), stream.until, is_last=not place)


def _prices(row: Row, side: str) -> dict[str, Decimal] | None:
    """Open, high, low and close of one side in dollars; None where there was nothing."""
    values = row.get(side)
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise BadRow(f"{side} is no object")
    found = {name: _money(values, name) for name in _FIELDS}
    good = {name: value for name, value in found.items() if value is not None}
    if not good:
        return None
    if len(good) < len(found):
        raise BadRow(f"{side} has {', '.join(good)} alone")
    return good


def _money(row: Row, name: str) -> Decimal | None:
    """A price in dollars: `name_dollars`, or `name` in cents where it is a whole number, in dollars where a text."""
    dollars = optional_number(row, f"{name}_dollars")
    if dollars is not None:
        return dollars
    value = optional_number(row, name)
    return value / 100 if value is not None and not isinstance(row[name], str) else value


def _either(row: Row, *names: str) -> Decimal | None:
    return next((value for name in names if (value := optional_number(row, name)) is not None), None)


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _tick_size(row: Row) -> float | None:
    """The finest step anywhere between 0 and 1 dollar."""
    ranges = row.get("price_ranges")
    if ranges is None:
        cents = optional_number(row, "tick_size")
        return None if cents is None else float(cents / 100)
    if not isinstance(ranges, list) or not all(isinstance(one, Mapping) for one in ranges):
        raise BadRow("price_ranges is no list of objects")
    return min((float(number(one, "step")) for one in ranges), default=None)


def _resolution(row: Row, status: str) -> tuple[Decimal | None, datetime | None]:
    """What a settled market pays, and when that became known. Void: nothing is known of it."""
    result = row.get("result") or ""
    if status not in _FINAL or result not in ("yes", "no", "scalar"):
        return None, None
    value = _money(row, "settlement_value")
    resolution = value if result == "scalar" else Decimal(result == "yes")
    if resolution is None:
        return None, None
    known = (optional_instant(row, name) for name in ("settlement_ts", "updated_time", "expiration_time"))
    at = next((one for one in known if one is not None), None)
    if at is None:
        raise BadRow("a settled market says nowhere when")
    return resolution, at


def _seconds(at: datetime) -> str:
    return str(int(at.astimezone(UTC).timestamp()))


FEED = KalshiFeed
