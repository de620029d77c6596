"""The contract of a feature: a function from a market's bars to one value a bar, that never sees the future.

    @feature(bars=20)
    def high_distance(bars: Bars) -> pl.Expr:
        return bars.close / bars.high.rolling_max(20) - 1

The name of the function is the name of the column. `bars` is the number of bars that the value depends on, the current
one included: a feature over 20 returns spans 21 bars. Own features stand in a module that `[features] modules` names,
or behind an entry point in the group tidemill.features (a module, or a feature).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pipelines.errors import SettingsError
from pipelines.plugins.modules import entry_points, load_entry, load_module, shown_name
from pipelines.signatures import caller, require_call
from pipelines.values import dataclass

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import polars as pl

FEATURE_GROUP = "tidemill.features"
LEAKS = ".leaks.json"  # memo of the features: which were tested for leaks. The release gate reads it.


class Bars:
    """One market's bars, oldest first, each column as a Polars expression. Use shifts and windows that look back.

    - `ts`: the instant at which the bar is known, UTC; `bar_start`; `interval_seconds` from start to end: 90000 for a
      day of 25 hours
    - `open`, `high`, `low`, `close`; `volume`, null where the source has no sizes
    - `bid`, `ask`: the last of the bar, null where there is none; `spread`: (ask - bid) / mid
    - `trade_count`: trades and quotes; null where the source gives bars
    - `log_return`: ln(close / close of the bar before), which spans 2 bars
    - `market_return`: mean log_return of all markets whose bars are known at the same instant
    - `kind` of the market: spot, fx, equity or binary; `end_at` of the market, null where it has no end
    """

    ts: pl.Expr
    bar_start: pl.Expr
    interval_seconds: pl.Expr
    open: pl.Expr
    high: pl.Expr
    low: pl.Expr
    close: pl.Expr
    volume: pl.Expr
    bid: pl.Expr
    ask: pl.Expr
    spread: pl.Expr
    trade_count: pl.Expr
    log_return: pl.Expr
    market_return: pl.Expr
    kind: pl.Expr
    end_at: pl.Expr

    def __init__(self) -> None:
        import polars as pl

        for name in Bars.__annotations__:
            setattr(self, name, pl.col(name))


@dataclass(frozen=True)
class Feature:
    """A feature: its column's name, how many bars its value depends on, and the function that says how."""

    name: str
    bars: int
    function: Callable[[Bars], pl.Expr]
    module: str


def feature(*, bars: int) -> Callable[[Callable[[Bars], pl.Expr]], Feature]:
    """Make a function a feature whose value depends on the last `bars` bars, the current one included.

    Raises SettingsError, with the user's file and line, for fewer than one, and for a function that does not fit.
    """
    if bars < 1:
        raise SettingsError(
            f"a feature depends on at least one bar, not {bars!r}",
            where=caller(),
            fix="write @feature(bars=N), N the number of bars that a value depends on, the current one included",
        )

    def wrap(function: Callable[[Bars], pl.Expr]) -> Feature:
        require_call(function, "bars", "a feature")
        return Feature(function.__name__, bars, function, function.__module__)

    return wrap


def features_in(names: Mapping[str, object]) -> list[Feature]:
    """The features that a module defines, in the order in which it defines them; `names` are its globals."""
    return [value for value in names.values() if isinstance(value, Feature) and value.module == names["__name__"]]


def own_features(modules: Sequence[str], base: Path) -> list[Feature]:
    """Features of entry points and of `modules` (dotted names, or files relative to `base`).

    Raises SettingsError for a module that cannot be loaded or has no feature.
    """
    found = [one for entry in entry_points(FEATURE_GROUP) for one in _offered(entry)]
    for name in modules:
        module = load_module(name, base)
        new = features_in(vars(module))
        if not new:
            raise SettingsError(
                f"module {name!r} has no feature",
                where="[features] modules",
                fix="mark its functions with @feature(bars=…) from pipelines.feature",
            )
        found += new
    return found


def unique_names(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """The features as they are. Raises SettingsError where two share a name."""
    seen: dict[str, Feature] = {}
    for one in features:
        if one.name in seen:
            raise SettingsError(
                f"two features are called {one.name!r}",
                where=f"{shown_name(seen[one.name].module)} and {shown_name(one.module)}",
                fix="rename one of the functions",
            )
        seen[one.name] = one
    return tuple(seen.values())


def _offered(entry: EntryPoint) -> list[Feature]:
    loaded = load_entry(entry)
    found = [loaded] if isinstance(loaded, Feature) else []
    if isinstance(loaded, ModuleType):
        found = features_in(vars(loaded))
    if not found:
        raise SettingsError(
            f"entry point {entry.name!r} leads to no feature",
            where=f"{entry.value} in group {FEATURE_GROUP}",
            fix="let it name a module with features, or a function under @feature(bars=…)",
        )
    return found
