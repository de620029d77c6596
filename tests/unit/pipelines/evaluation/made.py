"""Evidence made up for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.evaluation.evidence import Evidence


def evidence(seed: int = 0, rows: int = 3000, blocks: int = 60, **columns: Any) -> Evidence:
    """Forecasts that know nothing of labels and returns, unless `columns` says otherwise."""
    rng = np.random.default_rng(seed)
    realised = rng.normal(0, 0.01, rows)
    label = (realised > 0.005).astype(float)
    probability = np.clip(0.31 + rng.normal(0, 0.01, rows), 0.01, 0.99)
    noise = rng.normal(0, 0.001, rows)
    values: dict[str, Any] = {
        "label": label,
        "probability": probability,
        "baselines": {"base rate": np.full(rows, 0.31)},
        "expected": noise,
        "beyond": noise,
        "beyond_by": {},
        "realised": realised,
        "later": {},
        "side": np.zeros(rows),
        "side_free": np.sign(noise),
        "cost": np.full(rows, 0.001),
        "block": np.arange(rows) * blocks // rows,
        "moment": np.arange(rows),
        "is_binary": np.zeros(rows, dtype=bool),
        "market": np.arange(rows) % 4,
    }
    return Evidence(**(values | columns))


def skilled(seed: int = 0, rows: int = 3000, **columns: Any) -> Evidence:
    """Forecasts that know a good part of the next return."""
    rng = np.random.default_rng(seed)
    known = rng.normal(0, 0.005, rows)
    realised = known + rng.normal(0, 0.008, rows)
    label = (realised > 0.005).astype(float)
    probability = np.clip(0.31 + 30 * known, 0.02, 0.98)
    base = {"label": label, "probability": probability, "expected": known, "beyond": known, "realised": realised}
    return evidence(seed, rows, **(base | {"side": np.sign(known), "side_free": np.sign(known)} | columns))
