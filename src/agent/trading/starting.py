"""What must hold before a trader starts. Each check has its own sentence, in a fixed order, and none needs a
connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.errors import UsageError
from agent.trading.config import ModeError, TradingAgentConfig, TradingMode, require_mode
from agent.trading.feed import Listing
from pipelines.figures import percent_text

_CHANNELS = ("manual", "api", "telegram", "redis")
_SHARE_OF_LIMIT = 1 / 3
_SHOWN = 5  # markets that are warned of by name
_LIMITS = ("stop_loss", "max_daily_loss_pct", "kill_switch_loss_pct", "max_drawdown_pct")


def require_startable(config: TradingAgentConfig, mode: TradingMode, *, test_mode: bool) -> None:
    """Raise ModeError or UsageError where these settings must not, or cannot, trade: by the first of CHECKS."""
    for check in CHECKS.values():
        check(config, mode, test_mode)


def _mode(config: TradingAgentConfig, mode: TradingMode, test_mode: bool) -> None:
    require_mode(config, mode)


def _credentials(config: TradingAgentConfig, mode: TradingMode, test_mode: bool) -> None:
    if mode == "live":
        raise ModeError(
            "TRADING_MODE=live needs credentials of a platform that trades with real money, and none can be given yet",
            where="TRADING_MODE",
            fix="set TRADING_MODE=dry_run to trade on paper" + (", and leave out --test-mode" if test_mode else ""),
        )


def _channel(config: TradingAgentConfig, mode: TradingMode, test_mode: bool) -> None:
    channel = config.approval(mode)
    if channel in _CHANNELS:
        raise UsageError(
            f"approval_mode {channel} cannot ask anybody yet: on paper orders need no approval",
            where="--approval-mode",
            fix="leave it out, or write --approval-mode auto",
        )


def _pairs(config: TradingAgentConfig, mode: TradingMode, test_mode: bool) -> None:
    if not config.asset_pairs:
        raise UsageError("no pair is named to trade", where="--asset-pair", fix="name one, such as --asset-pair BTCUSD")


CHECKS: dict[str, Callable[[TradingAgentConfig, TradingMode, bool], None]] = {
    "mode": _mode,
    "credentials": _credentials,
    "channel": _channel,
    "pairs": _pairs,
}  # in their order, each with its own sentence


def round_trip(listing: Listing, price: float) -> float:
    """What one entry and exit cost at the market's costs, as a fraction of what is traded."""
    costs = listing.costs
    paid = costs.unit_cost(price, 1) + costs.unit_cost(price, -1)
    return paid / price if price > 0 else 0.0


def costs_text(config: TradingAgentConfig, priced: Sequence[tuple[Listing, float]]) -> str | None:
    """What a round trip costs, of what is traded and of equity in the largest position, in the cheapest market and in
    the dearest, beside the limits of loss; priced: markets and their prices. None where no price is known."""
    if not priced:
        return None
    found = sorted(
        (cost, cost * config.largest_pct(is_binary=listing.costs.is_binary), listing.instrument.market_id)
        for listing, cost in ((one, round_trip(one, price)) for one, price in priced)
    )
    ends = (found[0], found[-1])
    least, most = (f"{cost * 100:.3g} %" for cost, _, _ in ends)
    if least != most:
        traded = f"{least} ({found[0][2]}) to {most} ({found[-1][2]}) of what is traded"
    else:
        where = f"in {found[0][2]}" if len(found) == 1 else f"in each of {len(found):,} markets"
        traded = f"{least} of what is traded {where}"
    shares = " to ".join(dict.fromkeys(f"{share:.3g} %" for share in sorted(share for _, share, _ in ends)))
    limits = ((name, getattr(config, name)) for name in _LIMITS)
    said = ", ".join(f"{name} {value * 100:.3g} %" for name, value in limits if isinstance(value, float))
    return f"a round trip costs {traded}, {shares} of equity in the largest position; limits: {said}"


def warnings_of(config: TradingAgentConfig, priced: Sequence[tuple[Listing, float]]) -> list[str]:
    """The sentences of `warning_of`; of many markets the first few."""
    found = [said for one in priced if (said := warning_of(config, *one)) is not None]
    return found[:_SHOWN] + ([f"and so it is in {len(found) - _SHOWN:,} more markets"] if len(found) > _SHOWN else [])


def warning_of(config: TradingAgentConfig, listing: Listing, price: float) -> str | None:
    """The sentence about a market whose round trip is a large part of the loss limit; None where it is not."""
    limit = config.kill_switch_loss_pct
    cost = round_trip(listing, price)
    if isinstance(limit, str) or cost <= limit * _SHARE_OF_LIMIT:
        return None
    return (
        f"one round trip in {listing.instrument.market_id} costs {percent_text(cost, 2)} of what is traded, more than "
        f"a third of kill_switch_loss_pct = {percent_text(limit, 2)}"
    )
