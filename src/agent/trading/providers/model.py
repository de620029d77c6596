"""The published decision of the release, for that very market and its newest bar. With it as the only provider the
trader's decision is the published one: risk rules may make it smaller or refuse it, nothing makes it larger."""

from __future__ import annotations

from datetime import datetime

from agent.trading.feed import BARS_OF_A_MARK
from agent.trading.provider import Abstention, MarketView, Opinion
from pipelines.decision import wanted_side

_FOR_GOOD = 2**31  # bars: held until the market is resolved


def opine(view: MarketView, now: datetime) -> Opinion | Abstention:
    """What the release says; it abstains where it says nothing of the newest bar. A position whose time is over is left
    without a forecast too: nothing says that it is worth to hold."""
    said = view.published
    if said is None:
        return Abstention(f"release {view.release.name} says nothing of this market")
    if said.ts > view.as_of:
        return Abstention("its forecast is of a bar that has not ended")
    late = (view.as_of - said.ts).total_seconds() / view.listing.bar_seconds
    is_over = view.held != 0 and said.horizon_bars is not None and view.bars_left <= 0
    if late >= BARS_OF_A_MARK and not is_over:
        return Abstention(f"its newest forecast is of {said.ts:%Y-%m-%d %H:%M}, {late:.0f} bars before the newest bar")
    left = _FOR_GOOD if said.horizon_bars is None else view.bars_left
    wants = 0 if late >= BARS_OF_A_MARK else wanted_side(view.held, left, said.enters, said.may_short)
    return Opinion(
        probability=said.probability,
        confidence=said.confidence,
        wants=wants,
        edge=said.net_edge,
        reasons=(
            {"code": "published", "text": said.reason, "bar": said.ts, "enters": said.enters},
            {"code": "holding", "held": view.held, "bars_left": min(left, 1_000_000), "wants": wants},
        ),
    )
