"""Markets of one event share its outcome: their rows are one piece of evidence."""

from __future__ import annotations

import polars as pl

from pipelines.modelling.rows import rows_of
from tests.modelling import features_of, stored, walk_bars, with_facts


def events(event_id: list[str | None] | None = None) -> dict[str, str]:
    """Market -> event, of four markets whose table says these events, or none at all."""
    bars = walk_bars(4, 120)
    names = bars.get_column("market_id").unique().sort()
    facts = with_facts(pl.DataFrame({"market_id": names}).with_columns(kind=pl.lit("binary")), round_trip=0.0)
    if event_id is not None:
        facts = facts.with_columns(event_id=pl.Series(event_id))
    rows = rows_of(stored(bars), features_of(bars), facts, horizon_bars=5)
    return dict(zip(rows.market.tolist(), rows.event.tolist(), strict=True))


def test_siblings_share_an_event_and_others_are_their_own() -> None:
    found = events(["election", "election", None, "match"])
    first, second, alone, other = (found[name] for name in sorted(found))
    assert first == second
    assert len({first, alone, other}) == 3
    assert alone == sorted(found)[2]


def test_without_events_every_market_is_its_own() -> None:
    assert all(market == event for market, event in events().items())
