"""How two releases differ, in words."""

from __future__ import annotations

import math
from typing import Any

from agent.core.release_diff import Change, Figure, change_text, changes, figure_cells, figures, headline, pair_cells


def version(output: str, code: str = "c", settings: str = "s") -> dict[str, Any]:
    return {"version": output, "snapshot_id": 1, "code_version": code, "settings_hash": settings}


def test_each_cause_has_its_words() -> None:
    before = {name: version("1") for name in ("ticks", "features", "model", "inference", "publish", "old")}
    after = {
        "ticks": version("1"),
        "features": version("2", code="d"),
        "model": version("2", settings="t"),
        "inference": version("2"),
        "publish": version("1", code="d", settings="t"),
        "new": version("1"),
    }
    said = [
        change_text(one)
        for one in changes(before, after, {"model": ({"seed": 1, "kind": "hgb"}, {"seed": 2, "kind": "hgb"})})
    ]
    assert said == [
        "features changed by its code",
        "model changed by its settings (seed 1 → 2)",
        "inference changed by its inputs",
        "publish changed by its code and its settings",
        "new is new",
        "old is gone",
    ]


def test_releases_of_the_same_versions_do_not_differ() -> None:
    same = {"ticks": version("1")}
    assert changes(same, same, {}) == []


def test_figures_are_those_that_one_of_both_has() -> None:
    before = {"model": {"brier": 0.25, "auc": None}}
    after = {"model": {"brier": 0.24}, "assessment": {"verdict": "NO EDGE", "tradable": False, "ic": None}}
    assert figures(before, after) == [
        Figure("assessment", None, "NO EDGE"),
        Figure("tradable", None, False),
        Figure("Brier score", 0.25, 0.24),
    ]
    assert [figure_cells(one) for one in figures(before, after)] == [
        ("assessment", "-", "NO EDGE", ""),
        ("tradable", "-", "no", ""),
        ("Brier score", "0.2500", "0.2400", "-0.0100"),
    ]
    assert figures({}, {}) == []


def test_figures_that_changed_come_first_and_differ_in_their_own_unit() -> None:
    model = {"total_return": 0.1, "trades": 5, "sharpe": 9.0, "hit_rate": 0.5, "annualised_return": None}
    found = figures(
        {"backtest": {"model": model}}, {"backtest": {"model": {**model, "total_return": 0.15, "trades": 7}}}
    )
    assert [figure_cells(one) for one in found] == [
        ("total return of the backtest", "10.0 %", "15.0 %", "+5.0 pp"),
        ("trades", "5", "7", "+2"),
        ("winning trades", "50.0 %", "50.0 %", "same"),
    ]


def test_a_pair_of_one_model_is_the_same_and_of_one_block_unknown() -> None:
    assert pair_cells("Brier score", 0.0, 0.0, 0.0) == ("Brier score", "same", "")
    assert pair_cells("log loss", -0.0012, -0.002, 0.0004) == ("log loss", "-0.0012", "-0.002 to +0.0004")
    assert pair_cells("log loss", 0.1, math.nan, math.nan) == ("log loss", "+0.1", "unknown")
    assert pair_cells("return", -2.79e-05, -4e-05, 0.0) == ("return", "-0.0000279", "-0.00004 to 0")


def test_the_headline_names_what_all_of_it_comes_from() -> None:
    versions = {name: version("1") for name in ("ticks", "model", "backtest")}
    settings = {"backtest": ({"costs": {"fee_bps": 10}, "seed": 7}, {"costs": {"fee_bps": 1}, "seed": 7})}
    one = {**versions, "backtest": version("2", settings="t")}
    assert headline(changes(versions, one, settings)) == "Only [backtest] costs.fee_bps 10 → 1 differs"
    assert headline(changes(versions, versions, {})) == "Nothing behind them differs"
    reads = {"ticks": ("crypto",), "model": ("ticks",), "backtest": ("model",)}
    new_data = {name: version("2") for name in versions}
    assert (
        headline(changes(versions, new_data, {}, reads))
        == "Only the data differ; the settings and the code are the same"
    )
    assert headline(changes(versions, new_data, {})) == "Only the data differ; the settings and the code are the same"
    both = {**new_data, "model": version("2", code="d"), "backtest": version("2", settings="t")}
    assert headline(changes(versions, both, settings, reads)) == (
        "The data; the code of model and [backtest] costs.fee_bps 10 → 1 differ"
    )
    source = Change("ticks", ("settings",), {"sources.files.path": ('"a"', "null")})
    assert headline([source]) == "Only sources.files.path a → not set differs"


def test_what_differs_below_the_digits_is_not_called_the_same() -> None:
    def said(before: float, after: float) -> str:
        return figure_cells(Figure("x", before, after, "percent"))[3]

    assert (said(0.0002, 0.0), said(0.1, 0.1), said(0.3, 0.1 + 0.2)) == ("about the same", "same", "same")
    assert said(0.001, 0.0) == "-0.1 pp"
