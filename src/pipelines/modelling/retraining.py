"""When new data leads to a new model: the retrain rules of [model]. A rule that defers says what would end the wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pipelines.component import Deferral, Due, Input, Observation
from pipelines.modelling.metrics import population_stability_index

LEAST_ROWS = 100  # fewer rows than this spread over ten bins drift by chance
LEAST_OUTCOMES = 30
_ROWS_PREFIX = "features/"


def defer_retraining(seen: Observation) -> Deferral | Due | None:
    """What would end the wait, or what made retraining due, by the rule that [model] retrain names; None without one.

    Only new rows of features are weighed; a model that never saw any is trained.
    """
    rules = {"rows": _defer_by_rows, "interval": _defer_by_interval, "drift": _defer_by_drift}
    rule = rules.get(seen.settings.retrain)
    if rule is None or "features" not in seen.previous_inputs:
        return None
    return rule(seen)


def _defer_by_rows(seen: Observation) -> Deferral | Due:
    new, needed = _new_rows(seen), seen.settings.retrain_rows
    if new >= needed:
        return Due(f"{new} new rows, {needed} are enough")
    return Deferral(f"{needed} new rows ({new} so far)", {"new_rows": new, "retrain_rows": needed})


def _defer_by_interval(seen: Observation) -> Deferral | Due | None:
    before = seen.previous_inputs["features"].watermark
    now = seen.inputs["features"].snapshot.watermark
    if before is None or now is None:
        return None
    due = before + timedelta(days=seen.settings.retrain_every_days)
    if now >= due:
        return Due(f"features reach {now:%Y-%m-%d %H:%M} UTC, it was due at {due:%Y-%m-%d %H:%M}")
    text = f"features reach {due:%Y-%m-%d %H:%M} UTC (they end at {now:%Y-%m-%d %H:%M})"
    return Deferral(text, {"due": due.isoformat(), "watermark": now.isoformat()})


def _defer_by_drift(seen: Observation) -> Deferral | Due:
    settings = seen.settings
    brier = seen.live_brier if seen.live_count >= LEAST_OUTCOMES else None
    if brier is not None and brier >= settings.brier_threshold:
        return Due(f"the live Brier score is {brier:.3f} over {seen.live_count} outcomes")
    drift = _feature_drift(seen)
    from statistics import median  # its fractions take a tenth of a run with nothing to do

    middle = median(drift.values()) if drift else None
    if middle is not None and middle >= settings.psi_threshold:
        return Due(f"the features' median PSI is {middle:.3f}")
    evidence: dict[str, Any] = {"new_rows": _new_rows(seen), "live_count": seen.live_count}
    if middle is None:
        psi_text = f"from {LEAST_ROWS} new rows on, {evidence['new_rows']} so far"
    else:
        worst = max(drift, key=lambda name: drift[name])
        psi_text = f"now {middle:.3f}, most in {worst}: {drift[worst]:.3f}"
        evidence |= {"psi_median": middle, "psi_worst_feature": worst, "psi_worst": drift[worst]}
    if brier is None:
        brier_text = f"from {LEAST_OUTCOMES} outcomes on, {seen.live_count} so far"
    else:
        brier_text = f"now {brier:.3f} over {seen.live_count} outcomes"
        evidence["live_brier"] = brier
    return Deferral(
        f"the features' median PSI reaches {settings.psi_threshold:g} ({psi_text}) "
        f"or the live Brier score {settings.brier_threshold:g} ({brier_text})",
        evidence,
    )


def _new_rows(seen: Observation) -> int:
    now, before = seen.inputs["features"].snapshot, seen.previous_inputs["features"]
    count = sum(p.rows for p in now.select(_ROWS_PREFIX)) - sum(p.rows for p in before.select(_ROWS_PREFIX))
    return max(0, count)


def _feature_drift(seen: Observation) -> dict[str, float]:
    """PSI of each feature over the rows newer than the model's; empty where there are fewer than LEAST_ROWS."""
    card = seen.previous.by_key.get("model.json")
    trained_to = seen.previous_inputs["features"].watermark
    if card is None or trained_to is None:
        return {}
    return feature_drift(seen.inputs["features"], json.loads(seen.lake.read_bytes(card))["distribution"], trained_to)


def feature_drift(features: Input, distribution: Mapping[str, Any], trained_to: datetime) -> dict[str, float]:
    """PSI of each feature over the rows newer than `trained_to` against its `distribution` in training (as model.json
    has it); empty where there are fewer than LEAST_ROWS.

    The median over features decides: hour or weekday features swing with whatever part of the week the new rows are
    from, and one of them must not call for a new model. Features that the model derives from these are left out: they
    move with them, and a mean over all markets is one number per instant, which drifts by chance.
    """
    import polars as pl

    keys = [p.key for p in features.snapshot.select(_ROWS_PREFIX) if p.max_ts is not None and p.max_ts > trained_to]
    frames = [features.read(key).filter(pl.col("ts") > trained_to) for key in keys]
    if sum(frame.height for frame in frames) < LEAST_ROWS:
        return {}
    rows = pl.concat(frames)
    return {
        name: population_stability_index(rows.get_column(name).cast(pl.Float64).to_numpy(), bins)
        for name, bins in distribution.items()
        if name in rows.columns
    }
