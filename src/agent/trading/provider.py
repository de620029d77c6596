"""What a provider of opinions is. Pure: a provider sees a MarketView, whose data are all of `as_of` or before, and says
how probable a thing is, or abstains. It says no size, no order and nothing about another market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, Protocol

from agent.trading.feed import Listing, Published, ReleaseInfo
from agent.trading.model import Quote
from pipelines.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketView:
    """One market as a provider sees it. held: side of the position, 1, -1 or 0. bars_left: until its horizon ends.
    published: the release's forecast of its newest bar, None where it has none."""

    listing: Listing
    release: ReleaseInfo
    quote: Quote
    as_of: datetime
    held: int = 0
    bars_left: int = 0
    published: Published | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """probability: of a move up beyond cost, or of YES, 0..1. confidence: that a trade earns something after costs.
    wants: the side to be in at the next open, 1, -1 or 0; None for one that is scored alone. edge: of that side."""

    probability: float
    confidence: float | None = None
    wants: int | None = None
    edge: float = 0.0
    reasons: tuple[Mapping[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Abstention:
    """No opinion, and why."""

    why: str


class Provider(Protocol):
    """A module of providers/."""

    __name__: str

    def opine(self, view: MarketView, now: datetime) -> Opinion | Abstention:
        """What it says of a market."""


def name_of(provider: Provider) -> str:
    """The name of a provider: that of its file."""
    return provider.__name__.rpartition(".")[2]
