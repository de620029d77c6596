"""The baseline: what the market itself says. Of a binary market its mid; of others how often the label comes true. It
always takes part, is scored, and moves no decision."""

from __future__ import annotations

from datetime import datetime

from agent.trading.provider import Abstention, MarketView, Opinion


def opine(view: MarketView, now: datetime) -> Opinion | Abstention:
    """The market's own probability."""
    if view.listing.instrument.is_binary:
        mid = view.quote.mid
        if mid is None:
            return Abstention("the book lacks a side")
        return Opinion(probability=min(max(float(mid), 0.0), 1.0), reasons=({"code": "mid", "value": mid},))
    rate = view.release.base_rate
    if rate is None:
        return Abstention("the release does not say how often its label comes true")
    return Opinion(probability=rate, reasons=({"code": "base_rate", "value": rate},))
