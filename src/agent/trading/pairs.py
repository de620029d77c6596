"""From a pair as people name it to a market of the release. Pure. What is not there is refused, never guessed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from agent.errors import UsageError
from agent.trading.feed import Listing


def markets_of(pairs: Iterable[str], listings: Iterable[Listing]) -> Mapping[str, str]:
    """Market id -> the pair that named it. Raises UsageError for a pair that names none, or several."""
    known = {one.instrument.market_id: one for one in listings}
    found: dict[str, str] = {}
    for pair in pairs:
        if pair in known:
            found[pair] = pair
            continue
        fitting = [market for market, one in known.items() if _plain(pair) in _names(market, one)]
        if len(fitting) != 1:
            raise UsageError(
                f"{pair!r} names {'no market' if not fitting else f'{len(fitting)} markets'} of the current release",
                where="--asset-pair",
                fix=_fix(pair, fitting, known),
            )
        found[fitting[0]] = pair
    return found


def _fix(pair: str, fitting: list[str], known: Mapping[str, Listing]) -> str:
    if fitting:
        return f"write the market's id: {', '.join(fitting[:5])}"
    if not known:
        return "the release has no markets: see `agent signals`"
    by_name = {name: market for market, one in known.items() for name in _names(market, one)}
    near = difflib.get_close_matches(_plain(pair), by_name, n=3)
    listed = [by_name[name] for name in near] or sorted(known)[:5]
    return f"it has {', '.join(dict.fromkeys(listed))}; `agent signals` lists all"


def _names(market: str, listing: Listing) -> set[str]:
    """All that a market is called, written alike: its id without the source, and its symbol."""
    return {_plain(market), _plain(market.partition(":")[2]), _plain(listing.name)}


def _plain(name: str) -> str:
    """BTC-USD, BTC/USD and btcusd are one."""
    return "".join(letter for letter in name.upper() if letter.isalnum())
