"""From a market as people name it to its id. Pure. What is not there is refused, never guessed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from agent.errors import UsageError
from agent.trading.feed import Listing

Names = Mapping[str, Iterable[str]]  # market id -> what it is called beside its id
_SHOWN = 5


def traded_and_watched(
    traded: Iterable[str], watched: Iterable[str], listings: Iterable[Listing]
) -> tuple[Mapping[str, str], frozenset[str]]:
    """Markets to trade, id -> the first pair that named it, and ids of those to watch. Raises UsageError for a pair
    that names none, or several, and for a market that is to be traded and only to be watched."""
    known = {one.instrument.market_id: (one.name,) for one in listings}
    trades = _named(traded, known, "--asset-pair")
    watches = _named(watched, known, "--watchlist")
    for market in sorted({*trades} & {*watches}):
        raise UsageError(
            f"{market} is to be traded ({trades[market]}) and only to be watched ({watches[market]})",
            where="--asset-pair and --watchlist",
            fix="name it in one of them",
        )
    return trades, frozenset(watches)


def market_of(pair: str, listings: Iterable[Listing]) -> str:
    """The market that a pair names. Raises UsageError as `traded_and_watched` does."""
    return next(iter(traded_and_watched((pair,), (), listings)[0]))


def markets_named(name: str, known: Names) -> Sequence[str]:
    """Ids of the markets that `name` may mean: the one whose id it is, else all that are called so, in order."""
    if name in known:
        return [name]
    plain = _plain(name)
    return sorted(market for market, called in known.items() if plain in _called(market, called))


def near_to(name: str, known: Names) -> Sequence[str]:
    """Ids of markets that are called almost so; where there is none, the first few."""
    by_name = {one: market for market, called in known.items() for one in _called(market, called)}
    near = difflib.get_close_matches(_plain(name), by_name, n=3)
    return list(dict.fromkeys(by_name[one] for one in near)) or sorted(known)[:_SHOWN]


def _named(pairs: Iterable[str], known: Names, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        fitting = markets_named(pair, known)
        if len(fitting) != 1:
            raise UsageError(
                f"{pair!r} names {'no market' if not fitting else f'{len(fitting)} markets'} of the current release",
                where=where,
                fix=_fix(pair, fitting, known),
            )
        found.setdefault(fitting[0], pair)
    return found


def _fix(pair: str, fitting: Sequence[str], known: Names) -> str:
    if fitting:
        return f"write the market's id: {', '.join(fitting[:_SHOWN])}"
    if not known:
        return "the release has no markets: see `agent signals`"
    return f"it has {', '.join(near_to(pair, known))}; `agent signals` lists all"


def _called(market: str, names: Iterable[str]) -> set[str]:
    """All that a market is called, written alike: its id, with and without the source, and its names."""
    return {_plain(market), _plain(market.partition(":")[2]), *map(_plain, names)} - {""}


def _plain(name: str) -> str:
    """BTC-USD, BTC/USD and btcusd are one."""
    return "".join(letter for letter in name.upper() if letter.isalnum())
