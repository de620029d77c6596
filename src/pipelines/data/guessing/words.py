"""What columns and files are usually called, by the programs and sites that write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Names are compared in lower case, letters and digits alone: "1. open", "<OPEN>" and "Open" are one.
ROLE_WORDS: Mapping[str, tuple[str, ...]] = {
    "open": ("open", "o", "openprice", "priceopen", "openingprice", "eroffnung", "eröffnung", "erster", "ouverture"),
    "high": ("high", "h", "highprice", "pricehigh", "max", "hoch", "höchst", "tageshoch", "plushaut"),
    "low": ("low", "l", "lowprice", "pricelow", "min", "tief", "tiefst", "tagestief", "plusbas"),
    "close": ("close", "c", "closeprice", "priceclose", "closingprice", "closelast", "schluss",
              "schlusskurs", "cloture"),
    "volume": ("volume", "vol", "v", "tickvol", "tickvolume", "totalvolume", "volumen", "umsatz", "stücke", "stuck"),
    "price": ("price", "last", "p", "lastprice", "tradeprice", "ltp", "value", "kurs", "rate", "impliedprob",
              "probability", "prob", "yesprice", "odds", "decimalodds"),
    "size": ("size", "amount", "quantity", "qty", "volume", "tradesize", "vol", "basevolume"),
    "side": ("side", "takerside"),
    "is_buyer_maker": ("isbuyermaker", "buyerismaker", "buyermaker"),
    "id": ("id", "tradeid", "tid", "aggtradeid"),
    "bid": ("bid", "bidprice", "bestbid", "bidpx", "bids", "geld"),
    "ask": ("ask", "askprice", "bestask", "askpx", "asks", "offer", "brief"),
    "market": ("market", "marketid", "symbol", "ticker", "pair", "name", "instrument", "isin", "contract", "asset",
               "conditionid", "slug", "product", "productid", "code"),
}  # fmt: skip
# In the order in which they are preferred: when a thing happened, then when it was passed on.
TIME_WORDS = (
    *("ts", "timestamp", "datetime", "opentime", "start", "starttime", "bartime", "eventtime", "tradetime"),
    *("transacttime", "time", "date", "t", "pt", "datum", "zeit", "zeitpunkt", "uhrzeit", "createdat", "at", "day"),
    *("gmttime", "localtime", "utctime", "unix", "unixtime", "epoch", "closetime", "endtime", "end"),
)
ENDS_A_BAR = ("closetime", "endtime", "end")
_TIME_PART = re.compile(r"(?:^|_)(?:ts|time|timestamp|datetime|ms|us|ns|sec|epoch)(?:$|_)")
_LATER_CLOCK = ("server", "recv", "receive", "received", "local", "insert", "ingest", "created", "updated", "relay")
PROBABILITY_WORDS = ("impliedprob", "probability", "prob", "yesprice")
ODDS_WORDS = ("odds", "decimalodds")
YES_WORDS = ("up", "yes", "long", "over", "true", "1", "win")
_OUTCOME = re.compile(r"(?:payout|outcome|result|resolution|resolvedto|won|winner)(?:up|yes)?|(?:up|yes)(?:won|payout)")
_END = (
    *("endat", "endtime", "endts", "endsec", "endms", "enddate", "end", "closetime", "closeat", "closesat"),
    *("closedate", "expiry", "expiration", "expirytime", "settledtime", "settledat", "resolvedat", "resolutiontime"),
)
_RESOLVED = re.compile(r"resol|settl")
QUESTION_WORDS = ("question", "title", "questiontext", "selectionname", "description", "slug")
_NOT_FOLDED = re.compile(r"[^0-9a-zà-ÿ]")
_LEADING_NUMBER = re.compile(r"^\s*\d+[.)]\s*")


def folded(name: str) -> str:
    """A name in lower case, its letters and digits alone, without a number before it; of a path the last step."""
    last = _LEADING_NUMBER.sub("", name)
    last = last.rpartition(".")[2] or last
    return _NOT_FOLDED.sub("", last.lower())


def roles_of(names: Sequence[str]) -> dict[str, str]:
    """What columns with these names most likely are, times apart: role -> name."""
    by_word: dict[str, str] = {}
    for name in names:
        by_word.setdefault(folded(name), name)
    found = {}
    for role, words in ROLE_WORDS.items():
        match = next((by_word[word] for word in words if word in by_word), None)
        if match is not None:
            found[role] = match
    if "volume" not in found:
        volume = [name for name in names if folded(name).startswith("volume")]
        if volume:
            found["volume"] = volume[0]
    for side in ("bid", "ask"):
        for price in ("open", "high", "low", "close"):
            words = (f"{side}{price}", f"{price}{side}", f"{side}{price[0]}", f"{price[0]}{side}")
            match = next((by_word[word] for word in words if word in by_word), None)
            if match is not None:
                found[f"{side}_{price}"] = match
    if {"open", "high", "low"} <= found.keys() and "close" not in found and "price" in found:
        found["close"] = found["price"]  # as investing.com calls it
    return found


def times_of(names: Sequence[str]) -> list[str]:
    """Names that may be of times, the likeliest first."""
    known = {word: rank for rank, word in enumerate(TIME_WORDS)}
    ranked = []
    for place, name in enumerate(names):
        word = folded(name)
        if word in known:
            ranked.append((known[word], place, name))
        elif _TIME_PART.search(name.lower()):
            later = any(one in name.lower() for one in _LATER_CLOCK)
            ranked.append((len(known) + later, place, name))
    return [name for _, _, name in sorted(ranked)]


def outcome_names(names: Sequence[str]) -> list[str]:
    """Names that may be of what a market settled at."""
    return [name for name in names if _OUTCOME.fullmatch(folded(name))]


def end_name(names: Sequence[str]) -> str | None:
    """The column with the time at which trading ends."""
    by_word = {folded(name): name for name in reversed(names)}
    return next((by_word[word] for word in _END if word in by_word), None)


def resolved_names(names: Sequence[str]) -> list[str]:
    """Columns that may have the time at which the outcome became known."""
    return [name for name in names if _RESOLVED.search(folded(name)) and folded(name) not in ("resolution", "resolved")]


def question_name(names: Sequence[str]) -> str | None:
    """The column with the question in words."""
    by_word = {folded(name): name for name in reversed(names)}
    return next((by_word[word] for word in QUESTION_WORDS if word in by_word), None)


_CURRENCIES = "USD|EUR|GBP|JPY|CHF|AUD|NZD|CAD|SEK|NOK|DKK|SGD|HKD|CNH|MXN|ZAR|TRY|PLN|CZK|HUF|XAU|XAG|INR|CNY"
_COINS = "BTC|XBT|ETH|USDT|USDC|BUSD|DAI|BNB|XRP|LTC|ADA|SOL|DOGE|TRX|XLM|DASH|ETC|NXT|DOT|LINK|AVAX|XMR|ZEC"
_FX = re.compile(rf"(?:{_CURRENCIES})[-_/ ]?(?:{_CURRENCIES})(?![A-Z])", re.IGNORECASE)
_COIN = re.compile(rf"(?:^|[-_/ ])(?:{_COINS})|(?:{_COINS})(?:$|[-_/ ])", re.IGNORECASE)
_SHARE = re.compile(r"\^?[A-Za-z]{1,5}(?:[.-][A-Za-z]{1,3})?(?:[-_ ].*)?")


def kind_of(names: Sequence[str]) -> str | None:
    """What markets of these names are: fx, spot (coins) or equity; None where the names do not tell."""
    for kind, pattern in (("fx", _FX), ("spot", _COIN)):
        if all(pattern.search(name) if kind == "spot" else pattern.match(name) for name in names):
            return kind
    return "equity" if all(_SHARE.fullmatch(name) for name in names) else None
