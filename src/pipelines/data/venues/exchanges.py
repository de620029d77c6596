"""Shapes of exchanges' replies, whichever code reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

from pipelines.feed import Stream
from pipelines.values import dataclass

TIMEFRAMES: Mapping[str, int] = {  # seconds
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "4h": 14_400,
    "6h": 21_600,
    "1d": 86_400,
}
_SECONDS = {seconds: name for name, seconds in TIMEFRAMES.items()}
_NEITHER = "not collected: neither markets, bars nor trades"


@dataclass(frozen=True)
class Key:
    """A stream's key: `coinbase/list`, or `coinbase/BTC-USD/BTC-USD/5m`: the exchange's own name, ours, what."""

    text: str

    @property
    def _parts(self) -> list[str]:
        return [*self.text.split("/"), "", "", ""]

    @property
    def venue(self) -> str:
        """The exchange, as ccxt calls it."""
        return self._parts[0]

    @property
    def handle(self) -> str:
        """The market's name at the exchange."""
        return unquote(self._parts[1])

    @property
    def pair(self) -> str:
        """Ours: BTC-USD."""
        return self._parts[2]

    @property
    def symbol(self) -> str:
        """ccxt's: BTC/USD."""
        return self.pair.replace("-", "/")

    @property
    def what(self) -> str:
        """The length of a bar, or "trades"."""
        return self._parts[3]

    @property
    def step(self) -> timedelta:
        """The length of a bar."""
        return timedelta(seconds=TIMEFRAMES[self.what])


def collections(reply: Any) -> list[Sequence[Any] | Mapping[str, Any]]:
    """What of a reply may be its rows: itself where it is a list, else the lists and objects in it, errors apart."""
    if isinstance(reply, list):
        return [reply]
    if not isinstance(reply, Mapping):
        return []
    within = [value for name, value in reply.items() if name != "error" and isinstance(value, list | Mapping)]
    deeper = [inner for value in within if isinstance(value, Mapping) for inner in value.values()]
    return [*within, *(inner for inner in deeper if isinstance(inner, list))]


def each_alone(reply: Any) -> Iterator[Any]:
    """Of a list of markets a reply per market, each with that market alone."""
    if isinstance(reply, list):
        yield from ([one] for one in reply)
        return
    name = next((name for name in ("products", "symbols", "result", "data") if reply.get(name)), None)
    rows = reply[name] if name else ()
    for one in rows:
        yield {**reply, name: {one: rows[one]} if isinstance(rows, Mapping) else [one]}


def recognised(reply: Any) -> Stream | str:
    """The stream that a saved reply could be of, or in words why it is none that is collected."""
    if isinstance(reply, list) and reply:
        return _of_list(reply)
    if isinstance(reply, Mapping):
        if isinstance(reply.get("candles"), list):
            return _bars("coinbase", [int(row["start"]) for row in reply["candles"]])
        if isinstance(reply.get("trades"), list) and "best_bid" in reply:
            return Stream("coinbase/UNKNOWN/UNKNOWN-UNKNOWN/trades", "trades")
        if isinstance(reply.get("products"), list):
            return Stream("coinbase/list", "markets")
        if isinstance(reply.get("symbols"), list):
            return Stream("binance/list", "markets")
        if isinstance(reply.get("result"), Mapping):
            return _of_kraken(reply["result"])
    return _NEITHER


def _of_list(reply: Sequence[Any]) -> Stream | str:
    first = reply[0]
    if isinstance(first, list) and len(first) == 6:
        return _bars("coinbaseexchange", [int(row[0]) for row in reply])
    if isinstance(first, list) and len(first) == 12:
        return _bars("binance", [int(first[0]) // 1000, (int(first[6]) + 1) // 1000])
    if not isinstance(first, Mapping):
        return _NEITHER
    if "base_currency" in first:
        return Stream("coinbaseexchange/list", "markets")
    if "isBuyerMaker" in first or {"a", "p", "q", "T"} <= first.keys():
        return Stream("binance/UNKNOWN/UNKNOWN-UNKNOWN/trades", "trades")
    if "trade_id" in first:
        return Stream("coinbaseexchange/UNKNOWN/UNKNOWN-UNKNOWN/trades", "trades")
    return _NEITHER


def _of_kraken(result: Mapping[str, Any]) -> Stream | str:
    for name, rows in result.items():
        if isinstance(rows, Mapping) and "altname" in rows and "quote" in rows:
            return Stream("kraken/list", "markets")
        if isinstance(rows, list) and rows and isinstance(rows[0], list):
            if len(rows[0]) == 8:
                return _bars("kraken", [int(row[0]) for row in rows], name)
            return Stream(f"kraken/{name}/UNKNOWN-UNKNOWN/trades", "trades")
    return _NEITHER


def _bars(venue: str, starts: Sequence[int], name: str = "UNKNOWN") -> Stream | str:
    """Bars, of the length that the distance between the nearest two is; of one alone it is not known: a minute."""
    step = min((late - early for early, late in pairwise(sorted(starts)) if late > early), default=60)
    if step not in _SECONDS:
        return f"not collected: bars of {step} seconds"
    return Stream(f"{venue}/{name}/UNKNOWN-UNKNOWN/{_SECONDS[step]}", "bars")
