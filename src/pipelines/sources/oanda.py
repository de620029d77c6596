"""OANDA: bars of currency pairs, metals and indices with bid and ask, of an account there (practice or live).

API: https://developer.oanda.com (v20). The key and the account's number are environment variables, OANDA_TOKEN and
OANDA_ACCOUNT. A price is the middle of bid and ask. Days are those of UTC; there are no bars while a market is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipelines.data.venues.known_fields import OANDA_CANDLE, OANDA_INSTRUMENT
from pipelines.feed import FeedSettings, Limits, NotThisStream, Page, Parsed, Refused, Request, Retry, Stream
from pipelines.inbox.rows import (
    BadRow,
    PassedOver,
    Row,
    decode,
    epoch,
    instant,
    number,
    optional_number,
    optional_text,
    parse_rows,
    require_answer,
    rows_in,
    text,
)
from pipelines.settings import setting
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_MOST_CANDLES = 4000  # a request; the venue allows 5000
_SIDES = {"open": "o", "high": "h", "low": "l", "close": "c"}
_UNITS = {"S": 1, "M": 60, "H": 3600, "D": 86_400, "W": 604_800}
_KINDS = {"CURRENCY": "fx", "METAL": "spot", "CFD": "equity"}


@dataclass(frozen=True)
class Settings(FeedSettings):
    """Settings of `[sources.oanda]`."""

    instruments: tuple[str, ...] = setting(("EUR_USD",), "which to collect, such as EUR_USD or XAU_USD")
    granularity: Literal["S5", "S10", "S15", "S30", "M1", "M5", "M15", "M30", "H1", "H4", "D"] = setting(
        "M5", "length of a bar, as OANDA writes it"
    )
    url: str = setting(
        "https://api-fxpractice.oanda.com",
        "where the API is; of live accounts https://api-fxtrade.oanda.com",
        counts=False,
    )


class OandaFeed:
    """What OANDA says of the instruments of an account."""

    name: ClassVar[str] = "oanda"
    LIMITS: ClassVar[Limits] = Limits({"": 60.0}, concurrency=4)
    SECRETS: ClassVar[tuple[str, ...]] = ("OANDA_TOKEN", "OANDA_ACCOUNT")
    RESUMES: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    # --- asking -------------------------------------------------------------------------------------------------

    def streams(self, universe: pl.DataFrame) -> Iterable[Stream]:
        """The list of instruments, and the bars of each."""
        yield Stream("list", "markets")
        granularity = self._settings.granularity
        for name in universe.get_column("external_id"):
            if name in self._settings.instruments:
                yield Stream(f"{name}/{granularity}", "bars", _step(granularity))

    def next_request(self, stream: Stream, cursor: str) -> Request | None:
        """The instruments, or bars of a span, newest first."""
        headers = {"authorization": "Bearer ${OANDA_TOKEN}", "accept-datetime-format": "RFC3339"}
        if stream.kind == "markets":
            address = f"{self._settings.url}/v3/accounts/${{OANDA_ACCOUNT}}/instruments"
            return Request(address, (("instruments", ",".join(self._settings.instruments)),), headers)
        assert stream.since is not None
        assert stream.until is not None
        name, _, granularity = stream.key.partition("/")
        high = epoch(int(cursor)) if cursor else stream.until
        low = max(stream.since, high - _MOST_CANDLES * _step(granularity))
        span = (("from", str(int(low.timestamp()))), ("to", str(int(high.timestamp()))))
        how = (("price", "MBA"), ("granularity", granularity), ("dailyAlignment", "0"), ("alignmentTimezone", "UTC"))
        return Request(f"{self._settings.url}/v3/instruments/{name}/candles", (*how, *span), headers)

    def page(self, stream: Stream, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Page:
        """The instruments, or the bars of a span."""
        if status == 400 and b"future" in body[:200]:
            raise Retry("the venue's clock is behind: the span ends in its future", after=5.0)
        if status == 404:
            raise NotThisStream("the venue has no such instrument, or the account has no number like this")
        require_answer(status, body)
        reply = decode(body)
        if stream.kind == "markets":
            rows_in(reply, "instruments")
            return Page(body, "", None, None, is_last=True)
        rows_in(reply, "candles")
        asked = dict(request.params)
        low, high = epoch(int(asked["from"])), epoch(int(asked["to"]))
        assert stream.since is not None
        is_last = low <= stream.since + timedelta(seconds=1)
        step = _step(asked["granularity"]).total_seconds()
        whole = epoch(int(high.timestamp() // step * step))  # the bar after it is still running
        return Page(body, "" if is_last else asked["from"], low, max(low, whole), is_last)

    # --- reading ------------------------------------------------------------------------------------------------

    def parse(self, stream: Stream, body: bytes) -> Parsed:
        """The instruments or bars of a reply."""
        reply = decode(body)
        if stream.kind == "markets":
            return parse_rows("markets", rows_in(reply, "instruments"), OANDA_INSTRUMENT, self._market)
        name, _, granularity = stream.key.partition("/")
        step = _step(granularity)
        rows = rows_in(reply, "candles")
        return parse_rows("bars", rows, OANDA_CANDLE, lambda row: self._candle(row, name, step))

    def wants(self, stream: Stream) -> bool:
        """Not bars of another length."""
        return stream.kind == "markets" or stream.key.endswith(f"/{self._settings.granularity}")

    def recognise(self, body: bytes) -> Stream | str:
        """What a saved reply is: the stream that it could be of, or why it is none that is collected."""
        reply = decode(body)
        if not isinstance(reply, Mapping):
            return "not collected: neither markets nor prices"
        if "candles" in reply:
            name = str(reply.get("instrument", "UNKNOWN")).replace("/", "_")
            return Stream(f"{name}/{reply.get('granularity', 'M1')}", "bars")
        if "instruments" in reply:
            return Stream("list", "markets")
        known = "accounts account orders order positions position trades trade transactions transaction prices pricing"
        known += " orderBook positionBook pages heartbeat errorCode"
        return "not collected: " + (
            ", ".join(sorted(set(known.split()) & reply.keys())) or "neither markets nor prices"
        )

    def _market(self, row: Row) -> Mapping[str, Any]:
        name, seconds = text(row, "name"), int(_step(self._settings.granularity).total_seconds())
        digits = optional_number(row, "displayPrecision")
        return {
            "market_id": f"{self.name}:{name}",
            "source": self.name,
            "external_id": name,
            "symbol": optional_text(row, "displayName") or name,
            "kind": _KINDS.get(text(row, "type"), "spot"),
            "status": "open",
            "tick_size": None if digits is None else float(Decimal(1).scaleb(-int(digits))),
            "interval": f"{seconds}s",
            "interval_seconds": seconds,
            "timezone": "UTC",
            "quote_currency": name.rpartition("_")[2] or None,  # EUR_USD, SPX500_USD
        }

    def _candle(self, row: Row, name: str, step: timedelta) -> Mapping[str, Any]:
        if row.get("complete") is not True:
            if row.get("complete") is False:
                raise PassedOver("the bar is still running")
            raise BadRow("complete is neither true nor false")
        start = _time(row)
        found = {side: _prices(row, side) for side in ("mid", "bid", "ask")}
        middle, bid, ask = found["mid"], found["bid"], found["ask"]
        if middle is None and bid is not None and ask is not None:
            middle = {field: (bid[field] + ask[field]) / 2 for field in bid}
        middle = middle or bid or ask
        if middle is None:
            raise BadRow("there is no price")
        quotes = {
            f"{side}_{field}": float(value) for side in ("bid", "ask") for field, value in (found[side] or {}).items()
        }
        return {
            "market_id": f"{self.name}:{name}",
            "start": start,
            "end": start + step,
            **{field: float(value) for field, value in middle.items()},
            "volume": float(number(row, "volume")),
            **quotes,
        }


def _prices(row: Row, side: str) -> dict[str, Decimal] | None:
    values = row.get(side)
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise BadRow(f"{side} is no object")
    return {field: number(values, letter) for field, letter in _SIDES.items()}


def _time(row: Row) -> datetime:
    """RFC 3339 with nanoseconds, or seconds since 1970 as a text."""
    value = row.get("time")
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        return epoch(number(row, "time"), "time")
    return instant(row, "time").astimezone(UTC)


def _step(granularity: str) -> timedelta:
    """Length of a bar. Raises Refused for one that is none of this many seconds, such as a month."""
    unit, count = granularity[:1], granularity[1:]
    if unit not in _UNITS or (unit == "M" and not count) or not (count or "1").isdecimal():
        raise Refused(f"bars of granularity {granularity!r} are not read")
    return timedelta(seconds=_UNITS[unit] * int(count or 1))


FEED = OandaFeed
