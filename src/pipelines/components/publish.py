"""The release: predictions, metrics, model card, report and manifest, written only when every gate is passed.

Partition keys are the names of the files. Nothing here says when, where or by whom it was made: equal inputs give an
equal release, and whether the data are live or historical stands in the row of the releases table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pipelines.component import Context, component
from pipelines.costs import DEFAULTS
from pipelines.data.csv_text import neutralised
from pipelines.data.quoting import account_text
from pipelines.data.spans import span_of
from pipelines.data.whole import broken_markets, newest_bars, scrambled_partitions
from pipelines.errors import PipelineError, ReleaseRefused
from pipelines.evaluation.gate import Facts, Limits, refusals
from pipelines.feature import LEAKS
from pipelines.figures import percent_text
from pipelines.lake import SHARED, SHARED_FOLDER
from pipelines.modelling.retraining import feature_drift
from pipelines.settings import setting
from pipelines.snapshot import EVERYTHING, Reads
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_SEALED = ("market_id", "ts", "action", "probability", "price", "net_edge", "weight", "model_version")
_FACTS = (
    *("market_id", "source", "symbol", "question", "kind"),
    *("fee", "has_default_costs", "tick_size", "quote_currency"),
)
_REPORT = "report.html"
_DRAWS = "draws/"
_BAND_POINTS = 300


@dataclass(frozen=True)
class Settings:
    """Section [publish] of agent.toml: the gates of a release."""

    min_predictions: int = setting(1, "refuse a release of fewer predictions", low=0)
    max_brier_excess: float | None = setting(
        0.02, "refuse where the model's Brier score is worse than the base rate's by more; unset: any", low=0, high=1
    )
    max_drawdown: float | None = setting(
        None, "refuse where the backtest's drawdown was larger; unset: any", unit="0..1", low=0, high=1
    )
    max_drift: float | None = setting(
        1.0, "refuse where the median PSI of the features since training is larger; unset: any", low=0
    )
    max_age_bars: float | None = setting(
        10.0,
        "refuse where the newest bar of a live source that is predicted from is older, by the clock; unset: any",
        unit="bar intervals",
        low=0,
    )
    require: Literal["any", "edge"] = setting("any", "edge: refuse what the assessment does not call tradable")
    accept_skill: str | None = setting(
        None, "why skill beyond what markets allow is believed; unset: it refuses the release as a likely leak"
    )

    def limits(self) -> Limits:
        """What the gate needs of these settings."""
        return Limits(self.max_drift, self.max_age_bars, self.require == "edge", self.accept_skill)


def check_release(ctx: Context, settings: Settings) -> None:
    """The gate. Raises ReleaseRefused, with the decisions that were refused."""
    predictions, model = _named_predictions(ctx), _json(ctx, "model", "metrics.json")
    now = None if ctx.outside is None else ctx.outside.now
    try:
        check_gates(settings, predictions, _metrics(ctx, model), _facts(ctx, model), now)
    except ReleaseRefused as refused:
        refused.decisions = _decisions(predictions)
        raise


@component(
    upstream={
        "markets": Reads(_FACTS),
        "ticks": EVERYTHING,
        "features": EVERYTHING,
        "model": EVERYTHING,
        "inference": EVERYTHING,
        "backtest": EVERYTHING,
    },
    settings=Settings,
    is_release=True,
    gate=check_release,
)
def publish_artifacts(ctx: Context, settings: Settings) -> None:
    """Write predictions.parquet, predictions.csv, decisions.json, metrics.json, model_card.md, report.html and
    manifest.json."""
    predictions = _named_predictions(ctx)
    metrics = _metrics(ctx, _json(ctx, "model", "metrics.json"))
    as_of = ctx.inputs["ticks"].snapshot.watermark
    if as_of is None:
        raise PipelineError(
            "the ticks have no time, so the release has no as-of",
            where="ticks",
            fix="`agent mark-dirty ticks`, then `agent run`",
        )
    card = _json(ctx, "model", "model.json")
    account = _account(ctx, card)
    inputs = {name: one.snapshot.version_of(one.reads) for name, one in ctx.inputs.items()}
    report = _report_data(ctx, predictions, metrics, card, inputs, as_of) | {"account": account}
    ctx.write_table("predictions.parquet", predictions, time="ts")
    texts = {
        "predictions.csv": neutralised(predictions).write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ"),
        "metrics.json": _as_json(metrics),
        "model_card.md": _model_card(card, metrics, as_of, f"{account} {_costs_note(_default_costs(ctx))}"),
        "decisions.json": _decisions(predictions),
    }
    for name, text in texts.items():
        ctx.write_bytes(name, text.encode())
    _write_report(ctx, report)
    ctx.write_bytes("manifest.json", _as_json(_manifest(ctx, settings, inputs, as_of, texts)).encode())


def _metrics(ctx: Context, model: Mapping[str, Any]) -> dict[str, Any]:
    """metrics.json of the release; `model` is that of the model."""
    return {
        "assessment": model["assessment"],
        "model": model["overall"],
        "folds": model["folds"],
        "backtest": _json(ctx, "backtest", "metrics.json"),
    }


def _facts(ctx: Context, model: Mapping[str, Any]) -> Facts:
    """What the gate asks of the release's inputs; `model` is the metrics.json of the model."""
    features, card = ctx.inputs["features"], _json(ctx, "model", "model.json")
    tested = features.partition(LEAKS)
    known = {"not_tested": ["every feature"]} if tested is None else json.loads(features.lake.read_bytes(tested))
    labels = model["labels"]
    trained_to = datetime.fromisoformat(card["training_end"])
    markets = ctx.inputs["markets"].read_all()
    unpriced = markets.filter(markets.get_column("fee").is_null()).get_column("kind")
    live = frozenset[str]() if ctx.outside is None else ctx.outside.live
    # Where one venue is down, inference leaves its markets out: what it says of the others is as good as ever.
    predicted = ctx.inputs["inference"].read("predictions", ("market_id",)).get_column("market_id")
    told = live & set(markets.filter(markets.get_column("market_id").is_in(predicted.to_list())).get_column("source"))
    live = told or live
    return Facts(
        broken=broken_markets(features),
        markets=markets.height,
        scrambled=scrambled_partitions(ctx.inputs["ticks"], features),
        newest=newest_bars(features, markets, live) if live else {},
        without_costs=unpriced.unique().sort().to_list(),
        leaks=["label"] if labels["changed"] else [],
        not_tested=[*known["not_tested"], *([] if labels["rows"] else ["label"])],
        drift=feature_drift(features, card["distribution"], trained_to),
        assessment=model["assessment"],
    )


def _write_report(ctx: Context, report: Mapping[str, Any]) -> None:
    """The page, and the script that it loads from beside the release's folder. A page that is kept, since it says the
    same, keeps its script too, whichever plotly is installed by now."""
    from pipelines.modelling.report import (  # here, so that a run with nothing to do does not load it
        content_hash,
        drawing_script,
        render,
    )

    name, script = drawing_script()
    record = "" if ctx.outside is None else ctx.outside.record
    page = render(report, f"../{SHARED_FOLDER}/{name}", record).encode()
    ctx.write_bytes(_REPORT, page, content=content_hash(report))
    before = {} if ctx.previous is None else ctx.previous.by_key
    earlier = [key for key in before if key.startswith(SHARED)]
    if ctx.result().by_key[_REPORT] is before.get(_REPORT) and earlier != [SHARED + name]:
        if not all(ctx.carry(key) for key in earlier):
            raise PipelineError(
                "the script that the report loads is damaged, and another version of plotly is installed by now",
                where=", ".join(before[key].path for key in earlier),
                fix="`agent mark-dirty publish`, then `agent run`: the report is made again",
            )
    elif not ctx.carry(SHARED + name):
        ctx.write_bytes(SHARED + name, script)


def check_gates(
    settings: Settings,
    predictions: pl.DataFrame,
    metrics: Mapping[str, Any],
    facts: Facts | None = None,
    now: datetime | None = None,
) -> None:
    """Raise ReleaseRefused that names every gate that is not passed, its value and its limit. `now`: of the clock."""
    faults = refusals(facts or Facts(), settings.limits(), now)
    if predictions.height < settings.min_predictions:
        faults.append(
            f"min_predictions: there are {predictions.height}, at least {settings.min_predictions} are needed"
        )
    odd = [
        name
        for name, value in predictions.select("market_id", "probability").iter_rows()
        if not (math.isfinite(value) and 0 <= value <= 1)
    ]
    if odd:
        faults.append(f"probabilities: {len(odd)} of {predictions.height} are not in 0..1, the first of {odd[0]}")
    scores = metrics["model"]
    excess = scores["brier"] - scores["brier_base_rate"]
    if settings.max_brier_excess is not None and excess > settings.max_brier_excess:
        faults.append(
            f"max_brier_excess: the model's Brier score is {excess:.4f} worse than the base rate's, "
            f"the limit is {settings.max_brier_excess:g}"
        )
    drawdown = metrics["backtest"]["model"]["max_drawdown"]
    if settings.max_drawdown is not None and (drawdown is None or drawdown > settings.max_drawdown):
        faults.append(f"max_drawdown: the backtest's is {drawdown}, the limit is {settings.max_drawdown:g}")
    if faults:
        raise ReleaseRefused(
            "the release is refused: " + "\n    ".join(faults),
            where="[publish] in agent.toml",
            fix="the release before stays current; look at the model's and the backtest's metrics, or move the limit",
        )


def _decisions(predictions: pl.DataFrame) -> str:
    """What the release says to do, in one canonical form: it is sealed in the forward record. Null: not said."""
    import polars as pl

    numbers = [name for name, kind in predictions.schema.items() if kind.is_float()]
    known = predictions.sort("market_id", "ts").with_columns(
        pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        *(pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in numbers),
    )
    rows = [[row.get(name) for name in _SEALED] for row in known.iter_rows(named=True)]
    return json.dumps({"columns": _SEALED, "rows": rows}, separators=(",", ":"), allow_nan=False)


def _named_predictions(ctx: Context) -> pl.DataFrame:
    """The newest predictions with the market's question or symbol as `name`, and what its prices are in."""
    import polars as pl

    name = pl.coalesce("question", "symbol", "market_id").alias("name")
    names = ctx.inputs["markets"].read_all().select("market_id", name, "quote_currency")
    predictions = ctx.inputs["inference"].read("predictions")
    joined = predictions.join(names, on="market_id", how="left", maintain_order="left")
    first = ("market_id", "name", "quote_currency")
    return joined.select(*first, pl.exclude(*first))


def _account(ctx: Context, card: Mapping[str, Any]) -> str:
    """What equity and prices are counted in, by the markets that the model was fitted on: the backtest trades these."""
    markets = ctx.inputs["markets"].read_all()
    traded = markets.filter(markets.get_column("market_id").is_in(list(card["spacing_seconds"])))
    return account_text(traded.get_column("quote_currency").to_list())


def _default_costs(ctx: Context) -> list[str]:
    """Kinds of markets that are traded at default costs."""
    import polars as pl

    kinds = ctx.inputs["markets"].read_all().filter(pl.col("has_default_costs")).get_column("kind")
    return kinds.unique().sort().to_list()


def _report_data(
    ctx: Context,
    predictions: pl.DataFrame,
    metrics: Mapping[str, Any],
    card: Mapping[str, Any],
    inputs: Mapping[str, str],
    as_of: datetime,
) -> dict[str, Any]:
    import polars as pl

    from pipelines.modelling.report import CURVES, points_of

    equity = ctx.inputs["backtest"].read_all("equity/", ("strategy", "ts", "equity"))
    first, last = equity.get_column("ts").min(), equity.get_column("ts").max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    times = pl.col("ts", "horizon_end_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    ticks = ctx.inputs["markets"].read_all().select("market_id", "tick_size")
    shown = predictions.join(ticks, on="market_id", how="left", maintain_order="left")
    return {
        "as_of": f"{as_of:%Y-%m-%d %H:%M}",
        "span": f"From {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
        "backtest": metrics["backtest"],
        "curves": {name: points_of(equity.filter(pl.col("strategy") == name)) for name in CURVES},
        "band": _band(ctx, first, last),
        "assessment": metrics["assessment"]["sentence"],
        "model": metrics["model"],
        "folds": metrics["folds"],
        "predictions": shown.with_columns(times).to_dicts(),
        "horizon_bars": card["horizon_bars"],
        "target": card["target"],
        "inputs": dict(inputs),
    }


def _band(ctx: Context, first: datetime, last: datetime) -> dict[str, list[Any]]:
    """What random entries had made at the end of each span of the backtest, from 1 at the start on; nothing where the
    model made no trade."""
    import numpy as np

    from pipelines.modelling.metrics import random_band

    backtest = ctx.inputs["backtest"]
    keys = sorted(key for key in backtest.keys if key.startswith(_DRAWS))
    tables = [backtest.read(key, ("draw", "growth", "trades")).sort("draw") for key in keys]
    if not any(table.get_column("trades").sum() for table in tables):
        return {}
    growth = [table.get_column("growth").to_numpy() for table in tables]
    ends = [min(span_of(key.removeprefix(_DRAWS))[1], last) for key in keys]
    made = random_band(np.vstack([np.zeros_like(growth[0]), *growth]))
    step = max(1, math.ceil(len(ends) / _BAND_POINTS))
    shown = [0, *range(step, len(ends), step), len(ends)]
    times = [first, *ends]
    return {
        "ts": [f"{times[n]:%Y-%m-%dT%H:%M:%SZ}" for n in shown],
        **{name: [values[n] for n in shown] for name, values in made.items()},
    }


def _manifest(
    ctx: Context, settings: Settings, inputs: Mapping[str, str], as_of: datetime, texts: Mapping[str, str]
) -> dict[str, Any]:
    files = {
        partition.key: {"content_hash": partition.content_hash, "rows": partition.rows}
        | ({"bytes": len(texts[partition.key].encode())} if partition.key in texts else {})
        for partition in ctx.result().select()
    }
    return {
        "as_of": as_of.isoformat(),
        "inputs": dict(inputs),
        "model_version": ctx.inputs["model"].snapshot.by_key["model"].content_hash,
        "files": files,
        "gates": asdict(settings),
    }


def _costs_note(kinds: Sequence[str]) -> str:
    """Which costs are defaults, and where they come from."""
    if not kinds:
        return "All costs are set in [markets.costs]."
    sources = "; ".join(f"{kind}: {DEFAULTS[kind].source}" for kind in kinds)
    return f"Costs are the defaults, not the platform's own ([markets.costs] sets them): {sources}."


def _model_card(card: Mapping[str, Any], metrics: Mapping[str, Any], as_of: datetime, money: str) -> str:
    scores, auc = metrics["model"], metrics["model"]["auc"]
    features = "\n".join(f"- `{name}`" for name in card["features"])
    return f"""# Model card

**{metrics["assessment"]["sentence"]}**

**Predicts** the probability, 0..1, {_predicted(card)}. Data as of {as_of:%Y-%m-%d %H:%M} UTC.

**Model**: {card["kind"]}, seed {card["seed"]}, calibrated on earlier out-of-sample predictions with slope
{card["calibration_slope"]:.3f} (1 trusts the learner fully, near 0 says the base rate). Trained on
{card["training_rows"]:,} rows, known from {card["training_start"]} to
{card["training_end"]}; {percent_text(card["base_rate"])} of them went up beyond cost.

**Judged** on {scores["rows"]:,} out-of-sample predictions in {len(metrics["folds"])} purged walk-forward folds of
{card["test_span_hours"]:g} hours. The base rate is what a model that knows nothing would say.

| | model | base rate |
| --- | --- | --- |
| Brier score (lower is better) | {scores["brier"]:.4f} | {scores["brier_base_rate"]:.4f} |
| log loss in nats (lower is better) | {scores["log_loss"]:.4f} | {scores["log_loss_base_rate"]:.4f} |
| accuracy | {percent_text(scores["accuracy"])} | {percent_text(scores["accuracy_base_rate"])} |
| area under the ROC curve | {"not defined" if auc is None else f"{auc:.4f}"} | 0.5 |

**Limits**: the past need not repeat itself; a market unlike those it was trained on is predicted all the same; the
backtest fills at the open with a fixed slippage, whatever the size. {money} Not investment advice.

## Features

{features}
"""


def _predicted(card: Mapping[str, Any]) -> str:
    if card["target"] == "resolution":
        return "that a market pays 1 in the end, starting from its price"
    return (
        "that a market's price rises by more than a round trip there costs, from the next bar's open to the close "
        f"{card['horizon_bars']} bars ahead, or to what a binary market pays by then"
    )


def _json(ctx: Context, name: str, key: str) -> Any:
    return json.loads(ctx.inputs[name].read_bytes(key))


def _as_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
