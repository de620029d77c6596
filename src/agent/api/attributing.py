"""What the page of a backtest shows: where its money came from, its trades on the candles, drawdowns and periods."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent.core.figures import pnl_text, span_text
from agent.execution.backtests import Backtest
from pipelines.data.quoting import price_text
from pipelines.evaluation import attribution
from pipelines.evaluation.attribution import WAYS, By
from pipelines.figures import percent_text
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_GROUPS, _TRADES, _DRAWDOWNS = 40, 50, 5
CANDLES = 180  # a phone's width has room for as many
WIDE, HIGH = 720.0, 260.0
_BAR, _MARK = 100.0, 6.0


@dataclass(frozen=True)
class Choice:
    """What the address asks for: trades summed `by`, those of one group alone, one market's candles."""

    by: By
    key: str | None
    market: str | None


@dataclass(frozen=True)
class Picture:
    """Candles and marks in a box of WIDE by HIGH: (x, top, bottom of the wick, top and height of the body, whether it
    rose) and (kind, points of a polygon, what it is); the prices at top and bottom."""

    candles: tuple[tuple[float, float, float, float, float, bool], ...]
    marks: tuple[tuple[str, str, str], ...]
    width: float
    high: float
    low: float
    first: datetime
    last: datetime


def asked(by: str, key: str | None, market: str | None) -> Choice:
    """The choice of an address; by market where it names no way of summing."""
    return Choice(attribution.way(by), key, market)


def attributed(made: Backtest, total: float | None, choice: Choice) -> dict[str, Any]:
    """The template's values but for the candles. `total`: the model's total return, as metrics.json has it."""
    closed = float(made.trades.get_column("pnl").sum())
    found, left_out = attribution.extremes(attribution.attributed(made.trades, choice.by), _GROUPS)
    chosen = chosen_trades(made, choice)
    largest = max((abs(one) for one in found.get_column("pnl").to_list()), default=0.0) or 1.0
    window = attribution.sharpe_window(made.curve)
    sharpe = attribution.rolling_sharpe(made.curve, window)
    name, returns = attribution.periods(made.curve)
    return {
        "ways": WAYS,
        "choice": choice,
        "count": made.trades.height,
        "closed": pnl_text(closed),
        "still_open": None if total is None else pnl_text(total - closed),
        "together": None if total is None else pnl_text(total),
        "groups": [
            (key, f"{count:,}", percent_text(won / count, 0), pnl_text(pnl), _bar(pnl, largest))
            for key, count, won, pnl in found.iter_rows()
        ],
        "left_out": left_out,
        "trades": [_trade(row) for row in chosen.head(_TRADES).iter_rows(named=True)],
        "trades_left_out": max(0, chosen.height - _TRADES),
        "drawdowns": [_drawdown(one) for one in attribution.worst_drawdowns(made.curve, _DRAWDOWNS)],
        "window": window,
        "sharpe": sharpe.get_column("sharpe").to_list(),
        "period": name,
        "returns": _returns(name, returns),
    }


def chosen_trades(made: Backtest, choice: Choice) -> pl.DataFrame:
    """The trades of the group that is asked for; all where none is."""
    return made.trades if choice.key is None else made.trades.filter(attribution.key_of(choice.by) == choice.key)


def traded_market(rows: pl.DataFrame, choice: Choice) -> str | None:
    """The market whose candles are shown: the one that is asked for, or that of the trade that moved most."""
    if rows.is_empty():
        return None
    held = set(rows.get_column("market_id").to_list())
    return choice.market if choice.market in held else attribution.most_moving(rows)


def picture(bars: pl.DataFrame, marks: pl.DataFrame) -> Picture | None:
    """Candles (ts, open, high, low, close) with the entries and exits of attribution.marks; None without bars.

    Candles stand side by side: nights and weekends take no room of their own. A mark stands on the candle it is in.
    """
    if bars.is_empty():
        return None
    times = bars.get_column("ts").to_list()
    prices = [
        *bars.get_column("high").to_list(),
        *bars.get_column("low").to_list(),
        *marks.get_column("price").to_list(),
    ]
    low, high = min(prices), max(prices)
    step, scale = WIDE / len(times), HIGH / ((high - low) or 1.0)

    def y(price: float) -> float:
        return float(round((high - price) * scale, 1))

    candles = tuple(
        (
            round((number + 0.5) * step, 1),
            y(top),
            y(bottom),
            y(max(first, last)),
            max(1.0, round(abs(first - last) * scale, 1)),
            last >= first,
        )
        for number, (first, top, bottom, last) in enumerate(bars.select("open", "high", "low", "close").iter_rows())
    )
    drawn = []
    for row in marks.iter_rows(named=True):
        x = (max(0, bisect_right(times, row["at"]) - 1) + 0.5) * step
        side = "long" if row["side"] > 0 else "short"
        text = f"{row['what']} of a {side} at {price_text(row['price'])}, {row['at']:%Y-%m-%d %H:%M} UTC"
        text += f", P&L {pnl_text(row['pnl'])}"
        drawn.append((f"{row['what']} {side}", _shape(row["what"], side, x, y(row["price"])), text))
    return Picture(candles, tuple(drawn), max(0.8, round(step * 0.7, 1)), high, low, times[0], times[-1])


def _shape(what: str, side: str, x: float, y: float) -> str:
    """An entry points up for a long and down for a short; an exit is a diamond."""
    if what == "exit":
        corners = [(0.0, -_MARK), (_MARK, 0.0), (0.0, _MARK), (-_MARK, 0.0)]
    else:
        up = -_MARK if side == "long" else _MARK
        corners = [(0.0, up), (_MARK, -up), (-_MARK, -up)]
    return " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)


def _bar(pnl: float, largest: float) -> tuple[float, float, bool]:
    """Left edge and width of a bar from the middle of a box of _BAR, and whether it is a gain."""
    width = _BAR / 2 * abs(pnl) / largest
    return (_BAR / 2 if pnl >= 0 else _BAR / 2 - width, width, pnl >= 0)


def _trade(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "side": "long" if row["side"] > 0 else "short",
        "reason": row["reason"].replace("_", " "),
        "probability": "–" if row["probability"] is None else percent_text(row["probability"]),
        "return": percent_text(row["trade_return"], 2, sign=True),
        "pnl": pnl_text(row["pnl"]),
    }


def _drawdown(one: attribution.Drawdown) -> dict[str, Any]:
    took = None if one.recovered_at is None else span_text((one.recovered_at - one.peak_at).total_seconds())
    return {"one": one, "depth": percent_text(one.depth, 2), "took": took}


def _returns(name: str, returns: pl.DataFrame) -> list[tuple[str, str, tuple[float, float, bool]]]:
    """The newest period first: its name, return and bar."""
    largest = max((abs(one) for one in returns.get_column("value").to_list()), default=0.0) or 1.0
    form = "%Y-%m-%d" if name == "day" else "%Y-%m"
    rows = [
        (f"{at:{form}}", percent_text(value, 2, sign=True), _bar(value, largest))
        for at, value in returns.select("ts", "value").iter_rows()
    ]
    return rows[::-1]
