"""What the columns of one file mean, as the settings of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from pipelines.data.file_tables.raw import PRICES, QUOTES, role_columns
from pipelines.data.file_tables.settings import Dataset
from pipelines.data.guessing.look import Look, as_numbers, is_fitting, is_like, numbers_of
from pipelines.data.guessing.names import interval_in_name
from pipelines.data.guessing.presets import Layout
from pipelines.data.guessing.times import Times, find_times, interval_of, session_zone, spacing
from pipelines.data.guessing.words import (
    ODDS_WORDS,
    PROBABILITY_WORDS,
    YES_WORDS,
    folded,
    outcome_names,
    roles_of,
)
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_BUY_SELL = {"buy", "sell", "b", "s", "", "none", "null", "unknown"}
_ID_WORDS = ("market", "selection", "runner", "token", "outcome", "contract", "event", "source")
_LEAST_ROWS = 3
_NO_NUMBERS = ("market", "side", "is_buyer_maker", "id", "ts")


@dataclass(frozen=True)
class Meaning:
    """What a file's rows are. settings: of its dataset, but path, market and kind. kind: None where it is not known.
    market: the column, or text of several, that names the market; None: the file's name does."""

    look: Look
    content: str
    settings: dict[str, Any]
    times: Times
    kind: str | None
    market: str | None
    unsure: list[str] = field(default_factory=list)


def meaning_of(look: Look, known: Layout | None = None) -> Meaning | None:
    """What the rows of a file are; None where they are no bars, trades or quotes. `known`: what is known beforehand."""
    has_names = look.settings.get("header", True)
    columns = known.named() if known is not None and not has_names else {}
    given = dict(known.settings) if known is not None else {}
    table, names = look.table, look.names
    roles = roles_of(names)
    if not has_names:
        roles = columns or _unnamed(look)
    rules = numbers_of(table, [name for role, name in roles.items() if role not in _NO_NUMBERS])
    content = _content(roles, table, rules)
    times = find_times(table, [roles["ts"]] if "ts" in roles else names, since_midnight="day_pattern" in given)
    if content is None or times is None:
        return None
    unsure = list(times.unsure)
    settings: dict[str, Any] = {"content": content} if content != "bars" else {}
    settings |= look.settings | rules
    wanted = {"ts": times.selector} | {role: roles[role] for role in _needed(content, roles)}
    kind = _odds_or_probability(look, wanted, rules, settings, unsure)
    _first_of_lists(table, wanted)
    market = _market(look, roles, content, settings, unsure)
    if market is not None and wanted.get("id") in (market, *template_columns(market)):
        del wanted["id"]
    groups = None if market is None or "{" in market else table.get_column(market)
    if content == "bars" and not {"interval", "interval_seconds"} & given.keys():
        steps = spacing(times.instants, groups)
        settings |= interval_of(times, steps, interval_in_name(look.file), unsure)
    settings |= {name: value for name, value in times.settings.items() if name not in settings}
    if content != "bars" and times.days_only:
        settings["ts_shift_seconds"] = 86_400
        unsure.append("a price with a date alone counts from the end of that day (ts_shift_seconds = 86400)")
    zone = session_zone(times) if content == "bars" else None
    if "timezone" in given:
        unsure = [one for one in unsure if "timezone" not in one]
    elif zone is not None:
        settings["timezone"] = zone
        unsure.append("times have no zone; sessions begin at 9:30, so they are taken to be of New York")
    elif settings.get("timezone") == "UTC" and "timezone" in times.settings and not times.days_only:
        unsure.append('times have no zone and are taken to be UTC: set timezone where they are not, "America/New_York"')
    _leave_out_odd(look, wanted, rules, unsure)
    adjusted = next((name for name in names if folded(name) in ("adjclose", "adjustedclose")), None)
    if given.get("adjusted_close") not in (None, *names):
        del given["adjusted_close"]
        unsure.append("there is no column with the adjusted close")
    elif adjusted is not None and "adjusted_close" not in given:
        unsure.append(f'prices are not adjusted: adjusted_close = "{adjusted}" would do it')
    settings |= given | {"columns": _to_say(wanted, names, content)}
    return Meaning(look, content, settings, times, given.get("kind", kind), market, unsure)


def _content(roles: Mapping[str, str], table: pl.DataFrame, rules: dict[str, Any]) -> str | None:
    """What a row is."""

    def has(*wanted: str) -> bool:
        return all(role in roles and _is_number(table, roles[role], rules) for role in wanted)

    if has(*PRICES) or has(*QUOTES):
        return "bars"
    if has("bid", "ask") and not has("price"):
        return "quotes"
    return "trades" if has("price") else None


def _is_number(table: pl.DataFrame, name: str, rules: dict[str, Any]) -> bool:
    read = as_numbers(table, name, rules) if _may_be_number(table, name) else None
    if read is None or read.is_empty():
        return read is not None
    given = len(read) - table.get_column(name).null_count()
    return given > 0 and len(read) - read.null_count() >= 0.5 * given


def _may_be_number(table: pl.DataFrame, name: str) -> bool:
    import polars as pl

    outer: Any = table.schema[name]
    kind = outer.inner if isinstance(outer, pl.List) else outer
    return bool(kind.is_numeric() or kind == pl.String)


def _needed(content: str, roles: Mapping[str, str]) -> list[str]:
    if content == "bars":
        with_quotes = all(name in roles for name in QUOTES)
        wanted = [*(PRICES if "open" in roles else ()), *(QUOTES if with_quotes else ()), "volume"]
    elif content == "quotes":
        wanted = ["bid", "ask", "id"]
    else:
        wanted = ["price", "size", "side", "is_buyer_maker", "id"]
    return [role for role in wanted if role in roles]


def _unnamed(look: Look) -> dict[str, str]:
    """Roles of a table without names: a time, four prices of which the second is the highest, a volume."""
    import polars as pl

    names = look.names
    times = find_times(look.table.head(1000), names)
    start = 0 if times is None else names.index(times.selector) if times.selector in names else 0
    after = names[start + 1 :]
    if times is None or len(after) < 4:
        return {} if times is None else {"ts": times.selector}
    numbers = pl.DataFrame({str(n): as_numbers(look.table.head(1000), one, {}) for n, one in enumerate(after[:4])})
    high_first = (pl.col("1") >= pl.max_horizontal("0", "2", "3")) & (pl.col("2") <= pl.min_horizontal("0", "1", "3"))
    found = {"ts": times.selector}
    if numbers.select(high_first.all()).item():
        found |= dict(zip((*PRICES, "volume"), after, strict=False))
    return found


def _odds_or_probability(
    look: Look, wanted: dict[str, str], rules: dict[str, Any], settings: dict[str, Any], unsure: list[str]
) -> str | None:
    """The kind that the price's name and values tell: binary, for probabilities and decimal odds."""
    if "price" not in wanted:
        return None
    name = wanted["price"]
    prices = as_numbers(look.table, name, rules).drop_nulls()
    if is_like(name, PROBABILITY_WORDS):
        return "binary"
    is_betting = any(is_like(one, ("selectionid", "runnerid", "rc")) or ".rc." in one for one in look.names)
    if is_like(name, ODDS_WORDS) or (is_like(name, ("ltp",)) and is_betting):
        other = next((one for one in look.names if is_like(one, PROBABILITY_WORDS)), None)
        if not prices.is_empty() and (prices >= 1).all():
            settings["price_is"] = "decimal_odds"
            also = "" if other is None else f" ({other!r} may say the same)"
            unsure.append(f"{name!r} is taken for decimal odds, of which 1 / odds is the price{also}")
            return "binary"
    return None


def _first_of_lists(table: pl.DataFrame, wanted: dict[str, str]) -> None:
    """Of a list (the levels of a book) the first one."""
    import polars as pl

    for role, name in wanted.items():
        if name in table.columns and isinstance(table.schema[name], pl.List):
            wanted[role] = f"{name}[0]"


def _market(
    look: Look, roles: Mapping[str, str], content: str, settings: dict[str, Any], unsure: list[str]
) -> str | None:
    """The column, or text of several, that names the market, and `where` for one of two mirrored sides."""
    table, names = look.table, look.names
    if look.settings.get("records") is not None:
        ids = [name for name in names if folded(name) in ("id", *(f"{word}id" for word in _ID_WORDS))]
        keys = [name for name in ids if table.get_column(name).n_unique() < max(2, table.height // 2)]
        if keys:
            return keys[0] if len(keys) == 1 else "-".join(f"{{{name}}}" for name in keys)
    market = roles.get("market")
    more = next((name for name in names if is_like(name, ("selectionid", "runnerid", "tokenid"))), None)
    if more is not None and market is not None:
        return f"{{{market}}}-{{{more}}}"
    side = next((name for name in names if is_like(name, ("side", "outcome", "token"))), None)
    if side is not None and content != "bars":
        words = {str(one).lower() for one in table.get_column(side).drop_nulls().unique()}
        yes = next((one for one in YES_WORDS if one in words), None)
        if words and not words <= _BUY_SELL and len(words) == 2 and yes is not None:
            value = next(one for one in table.get_column(side).drop_nulls() if str(one).lower() == yes)
            settings["where"] = {side: value}
            unsure.append(f"of the two sides in {side!r} only {value!r} is taken: the other is its mirror image")
    return market


def _leave_out_odd(look: Look, wanted: dict[str, str], rules: dict[str, Any], unsure: list[str]) -> None:
    """Leave out what is optional and no number."""
    for role in ("volume", "size", "id"):
        name = wanted.get(role)
        if name is not None and not is_fitting(look.table, name, rules):
            wanted[role] = ""
            unsure.append(f"{name!r} is not all numbers and is left out")
    volumes = [one for one in look.names if folded(one).startswith("volume")]
    if len(volumes) > 1 and wanted.get("volume"):
        unsure.append(f"the volume is {wanted['volume']!r}; there are {', '.join(volumes)}")


def template_columns(market: str) -> list[str]:
    """The columns that the name of a market is made of."""
    return [part.partition("}")[0] for part in market.split("{")[1:]] or [market]


def _to_say(wanted: Mapping[str, str], names: list[str], content: str) -> dict[str, str]:
    """Of the columns those that the usual names do not give."""
    usual = role_columns(Dataset(kind="spot", content=content), names)  # type: ignore[arg-type]
    said = {
        role: name
        for role, name in wanted.items()
        if usual.get(role) != name and not (name == "" and role not in usual)
    }
    optional = {
        "bars": ("volume",),
        "trades": ("size", "side", "is_buyer_maker", "id", "bid", "ask"),
        "quotes": ("id",),
    }[content]
    return said | {role: "" for role in optional if role in usual and role not in wanted}


def is_table_of_markets(look: Look) -> bool:
    """Whether a file describes markets: an outcome in a column, and a row for each."""
    outcomes = outcome_names(look.names)
    if not outcomes or look.table.height < 1:
        return False
    bars = roles_of(look.names)
    if all(name in bars for name in PRICES):
        return False
    return (
        any(look.table.get_column(name).n_unique() == look.table.height for name in _ids(look)) or len(_ids(look)) > 1
    )


def _ids(look: Look) -> list[str]:
    """Columns that may be part of a market's name."""
    found = []
    for name in look.names:
        word = folded(name)
        if word.endswith("id") or word in ("market", "symbol", "ticker", "slug", "source", "name", "contract"):
            found.append(name)
    return found


def ids_of(look: Look) -> list[str]:
    """Columns that may be part of a market's name, those called market first."""
    return sorted(_ids(look), key=lambda name: (not folded(name).startswith("market"), look.names.index(name)))
