"""How two releases differ, in words."""

from __future__ import annotations

from typing import Any

from agent.core.release_diff import Figure, change_text, changes, figure_cells, figures


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
        ("assessment", "-", "NO EDGE"),
        ("tradable", "-", "no"),
        ("Brier score", "0.2500", "0.2400"),
    ]
    assert figures({}, {}) == []
