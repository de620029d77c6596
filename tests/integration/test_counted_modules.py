"""Which modules count as a component's code. A list by hand, so that moving or importing a module is seen for what it
is: a new code version, and a recompute for everyone who upgrades."""

from __future__ import annotations

from pathlib import Path

from pipelines.plugins.code import CodeCache, code_of
from pipelines.plugins.discovery import load_components

# As they were called before they were sorted into rooms.
BEFORE = {
    "markets": ["components.markets"],
    "ticks": [
        *("calendars", "components.ticks"),
        *("tick_parts", "tick_parts.account", "tick_parts.frames", "tick_parts.intake"),
        *("tick_parts.memo", "tick_parts.merging", "tick_parts.spill"),
    ],
    "features": ["bars", "calendars", "components.features", "feature_work", "features.leaks", "spans", "windows"],
    "model": [
        *("baselines", "components.model", "costs", "derived", "folds", "labels", "learner", "metrics", "retraining"),
        *("rows", "walk"),
        *(f"evaluation.{name}" for name in ("assessment", "blocks", "earnings", "evidence", "figures", "intervals")),
        *("evaluation", "evaluation.judging", "evaluation.scores"),
    ],
    "inference": ["calendars", "components.inference", "costs", "derived", "labels", "learner", "spans"],
    "backtest": ["components.backtest", "costs", "folds", "labels", "metrics", "simulation", "sizing", "spans"],
    "publish": [
        *("components.publish", "csv_text", "data.whole", "evaluation", "evaluation.gate", "metrics", "report"),
        "retraining",
    ],
}
ROOMS = {
    "bars": "features.bars",
    "feature_work": "features.partitions",
    "windows": "features.windows",
    "tick_parts": "data.tick_parts",
    **{
        name: f"modelling.{name}"
        for name in (
            *("baselines", "derived", "folds", "labels", "learner", "metrics", "report", "retraining", "rows", "walk"),
        )
    },
    "simulation": "modelling.simulation",
}


def _now(module: str) -> str:
    first, dot, rest = module.partition(".")
    return f"pipelines.{ROOMS.get(first, first)}{dot}{rest}"


def test_the_same_modules_count_as_before_they_were_moved(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "code.json")
    counted = {name: sorted(code_of(one.module, cache=cache).files) for name, one in load_components().items()}
    assert counted == {name: sorted(map(_now, modules)) for name, modules in BEFORE.items()}
