"""How two releases differ: what changed and why, then their figures, those that changed first. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from agent.core.figures import points_text
from agent.core.staleness import changed_settings
from pipelines.figures import number_text, percent_text
from pipelines.modelling.annual import without_annual
from pipelines.values import dataclass

Form = Literal["plain", "percent", "count"]
Settings = tuple[Mapping[str, Any], Mapping[str, Any]]
# Path into metrics.json -> what a person calls it, and how it is written.
_FIGURES: Mapping[tuple[str, ...], tuple[str, Form]] = {
    ("assessment", "verdict"): ("assessment", "plain"),
    ("assessment", "tradable"): ("tradable", "plain"),
    ("assessment", "ic", "value"): ("information coefficient", "plain"),
    ("model", "rows"): ("out-of-fold rows", "count"),
    ("model", "brier"): ("Brier score", "plain"),
    ("model", "brier_base_rate"): ("Brier score of the base rate", "plain"),
    ("model", "log_loss"): ("log loss", "plain"),
    ("model", "auc"): ("AUC", "plain"),
    ("backtest", "model", "total_return"): ("total return of the backtest", "percent"),
    ("backtest", "model", "annualised_return"): ("return a year", "percent"),
    ("backtest", "model", "annualised_volatility"): ("volatility a year", "percent"),
    ("backtest", "model", "sharpe"): ("Sharpe ratio", "plain"),
    ("backtest", "model", "sortino"): ("Sortino ratio", "plain"),
    ("backtest", "model", "max_drawdown"): ("largest drawdown", "percent"),
    ("backtest", "model", "trades"): ("trades", "count"),
    ("backtest", "model", "hit_rate"): ("winning trades", "percent"),
    ("backtest", "model", "exposure"): ("mean exposure", "percent"),
    ("backtest", "model", "turnover_per_year"): ("turnover a year, times equity", "plain"),
    ("backtest", "model", "costs_paid"): ("costs paid, multiples of the start", "plain"),
}


_DATA = "the data"


@dataclass(frozen=True)
class Change:
    """A component behind both releases whose output differs. causes: of "code" and "settings"; where both are the same
    "inputs" or, where no component that it reads differs, "data"; "new" or "gone". settings: dotted name -> (before,
    after) as JSON, where both are known."""

    component: str
    causes: tuple[str, ...]
    settings: Mapping[str, tuple[Any, Any]]

    @property
    def is_own(self) -> bool:
        """Whether it does not merely follow from another component's change."""
        return self.causes != ("inputs",)


@dataclass(frozen=True)
class Figure:
    """A figure of both releases; None where one has it not."""

    name: str
    before: Any
    after: Any
    form: Form = "plain"

    @property
    def is_changed(self) -> bool:
        """Whether people would read two different values."""
        _, before, after, _ = figure_cells(self)
        return before != after


def changes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    settings: Mapping[str, Settings],
    reads: Mapping[str, Collection[str]] | None = None,
) -> list[Change]:
    """What changed between the `versions` of two releases, component by component in the order of the later one.

    `settings`: component -> its settings then and now; `reads`: component -> what it reads; both as far as they are
    still on record.
    """
    differing = {name for name, new in after.items() if name not in before or before[name]["version"] != new["version"]}
    found = []
    for name, new in after.items():
        old = before.get(name)
        if old is None:
            found.append(Change(name, ("new",), {}))
            continue
        own = [
            cause for cause, key in (("code", "code_version"), ("settings", "settings_hash")) if old[key] != new[key]
        ]
        if not own and old["version"] == new["version"]:
            continue
        if not own:
            its = (reads or {}).get(name)
            own = ["inputs" if its is None or differing.intersection(its) else "data"]
        then, now = settings.get(name, ({}, {}))
        found.append(Change(name, tuple(own), changed_settings(then, now)))
    return found + [Change(name, ("gone",), {}) for name in before if name not in after]


def headline(found: Sequence[Change]) -> str:
    """What all of it comes from, in a sentence: "Only [backtest] seed 7 → 8 differs"."""
    causes = [text for one in found if one.is_own for text in _own_causes(one)]
    if not found:
        return "Nothing behind them differs"
    causes = list(dict.fromkeys(causes))
    if causes == [_DATA] or not causes:
        return "Only the data differ; the settings and the code are the same"
    if len(causes) == 1:
        return f"Only {causes[0]} differs"
    first, *others = causes
    listed = f"{'; '.join([f'{first[0].upper()}{first[1:]}', *others[:-1]])} and {others[-1]}"
    return f"{listed} differ"


def _own_causes(change: Change) -> list[str]:
    """What of a component differs by itself, as what "differs" follows."""
    if change.causes in (("new",), ("gone",)):
        return [f"{change.component} ({change.causes[0]})"]
    if change.causes == ("data",):
        return [_DATA]
    found = []
    if "settings" in change.causes:
        found += [_placed(change.component, text) for text in _settings_texts(change)] or [f"[{change.component}]"]
    if "code" in change.causes:
        found.append(f"the code of {change.component}")
    return found


def _placed(component: str, text: str) -> str:
    """A setting with its section; one of a source names it itself."""
    return text if text.startswith("sources.") else f"[{component}] {text}"


def _settings_texts(change: Change) -> list[str]:
    return [f"{key} {_value(old)} → {_value(new)}" for key, (old, new) in change.settings.items()]


def _value(coded: str | None) -> str:
    """A value that was kept as JSON, as one writes it."""
    if coded in (None, "null"):
        return "not set"
    try:
        value = json.loads(str(coded))
    except ValueError:  # several fields of a table
        return str(coded)
    return value if isinstance(value, str) and value else str(coded)


def figures(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Figure]:
    """The figures in metrics.json that one of two releases has: those that differ first, each part in the order in
    which a person asks. Figures a year of less than a year are none."""
    then, now = _shown(before), _shown(after)
    found = [Figure(name, _at(then, path), _at(now, path), form) for path, (name, form) in _FIGURES.items()]
    found = [one for one in found if one.before is not None or one.after is not None]
    return sorted(found, key=lambda one: not one.is_changed)


def _shown(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    model = _at(metrics, ("backtest", "model"))
    return {**metrics, "backtest": {"model": without_annual(model)}} if isinstance(model, Mapping) else metrics


def strategy_rows(backtest: Mapping[str, Mapping[str, float | None]]) -> list[tuple[str, list[str]]]:
    """The figures of each strategy of a backtest side by side, as people read them; those that none has are left
    out."""
    shown = [without_annual(values) for values in backtest.values()]
    named = [(name, form, path[-1]) for path, (name, form) in _FIGURES.items() if path[:2] == ("backtest", "model")]
    return [
        (name, [_text(one.get(metric), form) for one in shown])
        for name, form, metric in named
        if any(one.get(metric) is not None for one in shown)
    ]


def change_text(change: Change) -> str:
    """A sentence."""
    if change.causes in (("new",), ("gone",)):
        return f"{change.component} is {change.causes[0]}"
    words = {"inputs": "its inputs", "data": "new data"}
    why = " and ".join(words.get(cause, f"its {cause}") for cause in change.causes)
    shown = ", ".join(_settings_texts(change))
    return f"{change.component} changed by {why}{f' ({shown})' if shown else ''}"


def figure_cells(figure: Figure) -> tuple[str, str, str, str]:
    """Name, before, after and by how much it changed, as people read them."""
    return figure.name, _text(figure.before, figure.form), _text(figure.after, figure.form), _difference(figure)


def pair_cells(name: str, value: float, low: float, high: float) -> tuple[str, str, str]:
    """A difference of the same rows with its interval, as people read it: of one block nothing is known of the
    spread, and of one model there is none."""
    if value == low == high == 0:
        return name, "same", ""
    known = math.isfinite(low) and math.isfinite(high)
    return name, _digits(value), f"{_digits(low)} to {_digits(high)}" if known else "unknown"


def _digits(difference: float) -> str:
    """Three digits, and no power of ten: -0.0000279."""
    return f"{Decimal(f'{difference:.3g}'):+f}" if difference else "0"


def _difference(figure: Figure) -> str:
    before, after = figure.before, figure.after
    if not (_is_number(before) and _is_number(after)):
        return ""
    if _text(before, figure.form) == _text(after, figure.form):
        return "same" if math.isclose(before, after, rel_tol=1e-9) else "about the same"
    if figure.form == "percent":
        return points_text(after - before)
    return number_text(after - before, 0 if figure.form == "count" else 4, sign=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _text(value: Any, form: Form) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if form == "percent":
        return percent_text(value)
    return number_text(value, 0 if form == "count" or isinstance(value, int) else 4)
