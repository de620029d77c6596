"""How two releases differ: what changed and why, then their figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.values import dataclass

# Path into metrics.json -> what a person calls it.
_FIGURES: Mapping[tuple[str, ...], str] = {
    ("assessment", "verdict"): "assessment",
    ("assessment", "tradable"): "tradable",
    ("assessment", "ic", "value"): "information coefficient",
    ("model", "rows"): "out-of-fold rows",
    ("model", "brier"): "Brier score",
    ("model", "brier_base_rate"): "Brier score of the base rate",
    ("model", "log_loss"): "log loss",
    ("model", "auc"): "AUC",
    ("backtest", "model", "total_return"): "total return of the backtest",
    ("backtest", "model", "sharpe"): "Sharpe ratio",
    ("backtest", "model", "max_drawdown"): "largest drawdown",
    ("backtest", "model", "trades"): "trades",
}
_OWN_CAUSES = (("code", "code_version"), ("settings", "settings_hash"))


@dataclass(frozen=True)
class Change:
    """A component behind both releases whose output differs. causes: of "code", "settings" and "inputs"; settings: key
    -> (before, after), where both are known."""

    component: str
    causes: tuple[str, ...]
    settings: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Figure:
    """A figure of both releases; None where one has it not."""

    name: str
    before: Any
    after: Any


def changes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    settings: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> list[Change]:
    """What changed between the `versions` of two releases, component by component in the order of the later one.

    `settings`: component -> its settings then and now, as far as they are still on record. A component whose own code
    and settings are the same changed because of its inputs.
    """
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
        then, now = settings.get(name, ({}, {}))
        keys = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
        found.append(Change(name, tuple(own) or ("inputs",), {key: (then.get(key), now.get(key)) for key in keys}))
    return found + [Change(name, ("gone",), {}) for name in before if name not in after]


def figures(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Figure]:
    """The figures in metrics.json that two releases have, in the order in which a person asks."""
    found = [Figure(name, _at(before, path), _at(after, path)) for path, name in _FIGURES.items()]
    return [one for one in found if one.before is not None or one.after is not None]


def change_text(change: Change) -> str:
    """A sentence."""
    if change.causes == ("new",):
        return f"{change.component} is new"
    if change.causes == ("gone",):
        return f"{change.component} is gone"
    why = " and ".join("its inputs" if cause == "inputs" else f"its {cause}" for cause in change.causes)
    shown = ", ".join(f"{key} {old!r} → {new!r}" for key, (old, new) in change.settings.items())
    return f"{change.component} changed by {why}{f' ({shown})' if shown else ''}"


def figure_cells(figure: Figure) -> tuple[str, str, str]:
    """Name, before and after as people read them."""
    return figure.name, _text(figure.before), _text(figure.after)


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4f}" if isinstance(value, float) else str(value)
