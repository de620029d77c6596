"""Figures that judge forecasts and equity curves. Pure: sequences of numbers in, numbers out.

Fractions are 0..1 (a return of 0.1 is 10 %). A figure that is not defined (no trade, no variation, one class) is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.figures import percent_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

SECONDS_PER_YEAR = 365.25 * 86_400
_LEAST_PROBABILITY = 1e-12
_LEAST_SHARE = 1e-4


def brier(probability: Floats, label: Floats) -> float:
    """Brier score, mean of (p - y)^2: 0 is perfect, 0.25 is always saying one half (Brier 1950, Monthly Weather
    Review 78). Raises ZeroDivisionError on no rows."""
    return float(((probability - label) ** 2).sum()) / len(label)


def log_loss(probability: Floats, label: Floats) -> float:
    """Mean of -ln(probability given to what happened), in nats; probabilities are kept 1e-12 away from 0 and 1."""
    import numpy as np

    p = np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return float(-(label * np.log(p) + (1 - label) * np.log1p(-p)).sum()) / len(label)


def auc(probability: Floats, label: Floats) -> float | None:
    """Area under the ROC curve: chance that a random positive ranks above a random negative, ties counting half
    (Hanley and McNeil 1982, Radiology 143). None where only one class occurs."""
    import numpy as np

    positives = float(label.sum())
    negatives = len(label) - positives
    if positives == 0 or negatives == 0:
        return None
    _, group, size = np.unique(probability, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(size)
    mean_rank = last_rank - (size - 1) / 2
    rank_sum = float(mean_rank[group][label == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def beyond_base(probability: Floats, base_rate: Floats) -> Floats:
    """How far the log odds of each forecast lie above those of what one knows anyway, its own fold's base rate. Folds
    differ in their base rates, which earlier outcomes decide: in one order with those, forecasts that know nothing
    rank below one half where outcomes come in turns (docs/decisions/0046)."""
    return _log_odds(probability) - _log_odds(base_rate)


def _log_odds(probability: Floats) -> Floats:
    import numpy as np

    p = np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    odds: Floats = np.log(p) - np.log1p(-p)
    return odds


def calibration_bins(probability: Floats, label: Floats, bins: int = 10) -> list[dict[str, float]]:
    """Predicted against observed: rows in order of probability, cut into at most `bins` groups of equal size.

    Each bin: `predicted` (mean probability), `observed` (share of positives), `rows`.
    """
    import numpy as np

    order = np.argsort(probability, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return [
        {
            "predicted": float(probability[group].mean()),
            "observed": float(label[group].mean()),
            "rows": len(group),
        }
        for group in groups
    ]


def forecast_metrics(
    probability: Floats, label: Floats, baseline: Floats, score: Floats | None = None
) -> dict[str, Any]:
    """Scores of a forecast, each beside that of `baseline`, which says the training rows' base rate for every row.

    `accuracy` counts p > 0.5 as a forecast of 1. `base_rate` is the share of positives in these rows. `auc` ranks rows
    by `score`, else by their probability.
    """
    rows = len(label)
    if rows == 0:
        return {"rows": 0}
    return {
        "rows": rows,
        "base_rate": float(label.mean()),
        "brier": brier(probability, label),
        "brier_base_rate": brier(baseline, label),
        "log_loss": log_loss(probability, label),
        "log_loss_base_rate": log_loss(baseline, label),
        "accuracy": float(((probability > 0.5) == (label == 1)).sum()) / rows,
        "accuracy_base_rate": float(((baseline > 0.5) == (label == 1)).sum()) / rows,
        "auc": auc(probability if score is None else score, label),
        "calibration": calibration_bins(probability, label),
    }


def feature_bins(values: Floats) -> dict[str, Any]:
    """A feature's distribution for the population stability index: inner decile `edges` of its finite values (equal
    ones merged), and the `shares` of all rows below, between and above them, the share of missing ones last."""
    import numpy as np

    finite = values[np.isfinite(values)]
    edges = np.unique(np.quantile(finite, np.arange(1, 10) / 10)) if len(finite) else np.empty(0)
    return {"edges": [float(edge) for edge in edges], "shares": bin_shares(values, edges)}


def population_stability_index(values: Floats, bins: dict[str, Any]) -> float:
    """PSI = sum over bins of (a - e) ln(a / e), a the share of `values` in a bin, e that in training (`feature_bins`);
    shares are kept above 1e-4. Below 0.1 is read as stable, above 0.25 as shifted (Siddiqi 2006, Credit Risk
    Scorecards)."""
    import numpy as np

    actual = np.maximum(bin_shares(values, np.asarray(bins["edges"])), _LEAST_SHARE)
    expected = np.maximum(np.asarray(bins["shares"]), _LEAST_SHARE)
    return float(((actual - expected) * np.log(actual / expected)).sum())


def bin_shares(values: Floats, edges: Floats) -> list[float]:
    """Shares of `values` below, between and above `edges` (rising); the share of missing ones is last."""
    import numpy as np

    finite = values[np.isfinite(values)]
    counts = np.bincount(np.searchsorted(edges, finite, side="left"), minlength=len(edges) + 1)
    shares = [*counts.tolist(), len(values) - len(finite)]
    return [float(count) / max(1, len(values)) for count in shares]


def equity_metrics(
    seconds: Sequence[float],
    equity: Sequence[float],
    exposure: Sequence[float],
    traded: Sequence[float],
    costs: Sequence[float],
    trade_profits: Sequence[float],
) -> dict[str, float | None]:
    """Figures of one equity curve, one value per bar time.

    seconds: bar times since the epoch, rising. equity, exposure (sum of absolute notionals), traded (notional filled
    since the bar before) and costs (fees and slippage, likewise) in the same unit. trade_profits: net P&L of each
    closed trade.

    A year is 365.25 days; periods a year = bar returns / years between first and last bar time, so gaps and weekends
    count as they are. A return over less than a year is not annualised (as the GIPS standards demand). With r the bar
    returns and m periods a year: volatility = std(r, ddof 1) sqrt(m); Sharpe = mean(r) / std(r) sqrt(m), Sortino =
    mean(r) / sqrt(mean(min(r, 0)^2)) sqrt(m), both against cash at 0 % (Sharpe 1994, Journal of Portfolio Management
    21; Sortino and Price 1994, Journal of Investing 3); drawdown = (peak - equity) / peak; turnover = sum of traded /
    equity, buys and sells; exposure is the mean of exposure / equity. sharpe_per_bar, return_skewness and
    return_kurtosis (3 for normal returns) are of r itself: what a deflated Sharpe ratio asks.
    """
    import numpy as np

    curve = np.asarray(equity, dtype=np.float64)
    result: dict[str, float | None] = dict.fromkeys(
        ("total_return", "annualised_return", "annualised_volatility", "sharpe", "sortino", "max_drawdown")
    )
    result |= dict.fromkeys(("sharpe_per_bar", "return_skewness", "return_kurtosis"))
    profits = list(trade_profits)
    result |= {
        "turnover": None,
        "turnover_per_year": None,
        "hit_rate": sum(profit > 0 for profit in profits) / len(profits) if profits else None,
        "exposure": None,
        "costs_paid": float(np.sum(costs)) if len(curve) else 0.0,
        "trades": float(len(profits)),
        "bars": float(len(curve)),
    }
    if len(curve) == 0:
        return result
    positive = curve > 0
    share = np.divide(np.asarray(exposure), curve, out=np.zeros_like(curve), where=positive)
    turnover = float(np.divide(np.asarray(traded), curve, out=np.zeros_like(curve), where=positive).sum())
    peak = np.maximum.accumulate(curve)
    result["total_return"] = float(curve[-1] / curve[0] - 1)
    result["max_drawdown"] = float(((peak - curve) / peak).max())
    result["exposure"] = float(share.mean())
    result["turnover"] = turnover
    years = (seconds[-1] - seconds[0]) / SECONDS_PER_YEAR
    if len(curve) < 2 or years <= 0 or not positive.all():
        return result
    returns = curve[1:] / curve[:-1] - 1
    root = math.sqrt(len(returns) / years)
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    downside = math.sqrt(float((np.minimum(returns, 0) ** 2).mean()))
    mean = float(returns.mean())
    if years >= 1:
        result["annualised_return"] = math.expm1(math.log(curve[-1] / curve[0]) / years)
    result["annualised_volatility"] = deviation * root
    result["sharpe"] = mean / deviation * root if deviation > 0 else None
    result["sortino"] = mean / downside * root if downside > 0 else None
    result["turnover_per_year"] = turnover / years
    if deviation > 0:
        scaled = (returns - mean) / returns.std()
        result["sharpe_per_bar"] = mean / deviation
        result["return_skewness"], result["return_kurtosis"] = float((scaled**3).mean()), float((scaled**4).mean())
    return result


def random_metrics(own: float, growth: Sequence[float], wins: Sequence[int], trades: float) -> dict[str, float | None]:
    """Figures of random entries, each draw the sum of ln(1 + weight x net return) over its trades.

    compounded: of the median draw; compounded_low and _high: of the 2.5 % and the 97.5 % draw; model_compounded: of the
    model's own closed trades by the same formula, which is not its total return (open positions, and what one trade
    leaves for the next, do not count); beaten_by_model: share of draws below it; hit_rate: mean share of
    winning trades. None where the model made no trade.
    """
    import numpy as np

    names = ("compounded", "compounded_low", "compounded_high", "model_compounded", "beaten_by_model", "hit_rate")
    if not trades or not len(growth):
        return {**dict.fromkeys(names), "trades": float(trades)}
    low, middle, high = np.expm1(np.quantile(np.asarray(growth), [0.025, 0.5, 0.975])).tolist()
    return {
        "compounded": middle,
        "compounded_low": low,
        "compounded_high": high,
        "model_compounded": math.expm1(own),
        "beaten_by_model": float((np.asarray(growth) < own).mean()),
        "hit_rate": float(np.mean(wins)) / trades,
        "trades": float(trades),
    }


def random_band(growth: Floats) -> dict[str, list[float]]:
    """What random entries had made by the end of each span, as multiples of the start: low and high (2.5 % and 97.5 %
    of the draws), middle (the median), and own, the model's closed trades by the same formula.

    growth: spans x (the model, then the draws), each the sum of ln(1 + weight x net return) over the span's trades.
    """
    import numpy as np

    made = np.cumsum(growth, axis=0)
    low, middle, high = np.quantile(made[:, 1:], [0.025, 0.5, 0.975], axis=1)
    columns = {"low": low, "middle": middle, "high": high, "own": made[:, 0]}
    return {name: np.exp(values).tolist() for name, values in columns.items()}


def chance_text(random_entry: Mapping[str, float | None]) -> str:
    """What `random_metrics` found, in a sentence."""
    names = ("beaten_by_model", "compounded_low", "compounded_high", "model_compounded")
    share, low, high, own = (random_entry.get(name) for name in names)
    if share is None or low is None or high is None or own is None:
        return "The model made no trade to repeat."
    lowest, highest, made = (percent_text(one, sign=True) for one in (low, high, own))
    return (
        f"The model's closed trades alone, compounded, made {made}: more than {percent_text(share)} of the draws, 95 % "
        f"of which made between {lowest} and {highest}."
    )
