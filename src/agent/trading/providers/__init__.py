"""Providers of opinions, one file each. `load` gives those that take part: the model, and the baseline it is held
against."""

from __future__ import annotations

from typing import cast

from agent.trading.provider import Provider
from agent.trading.providers import market, model


def load() -> tuple[Provider, ...]:
    """All of them."""
    return cast("tuple[Provider, ...]", (model, market))
