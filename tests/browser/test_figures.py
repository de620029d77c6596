"""Figures on screen are those of metrics.json and of the database: two projects, both surfaces, a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.store.database import engine
from agent.store.published import predictions
from tests.browser.conftest import Dashboard, rows_of
from tests.chrome import needs_chrome
from tests.served import served

pytestmark = [pytest.mark.browser, needs_chrome]

# What both call it, without what only one of them adds -> its key in metrics.json, and what 1 is shown as.
FIGURES = {
    "total return": ("total_return", 100),
    "return a year": ("annualised_return", 100),
    "volatility a year": ("annualised_volatility", 100),
    "sharpe ratio": ("sharpe", 1),
    "sortino ratio": ("sortino", 1),
    "largest drawdown": ("max_drawdown", 100),
    "trades": ("trades", 1),
    "winning trades": ("hit_rate", 100),
    "mean exposure": ("exposure", 100),
    "turnover a year, times equity": ("turnover_per_year", 1),
    "costs paid, multiples of the start": ("costs_paid", 1),
}


@pytest.mark.parametrize("which", ["project", "other"])
def test_figures_are_those_of_the_files_and_the_tables(
    request: pytest.FixtureRequest, serve: Callable[..., Dashboard], open_page: Callable[..., Any], which: str
) -> None:
    project: Path = request.getfixturevalue(which)
    (file,) = (project / ".tidemill" / "releases").glob("20*/metrics.json")
    released = json.loads(file.read_text(encoding="utf-8"))
    decided = _decisions(project)
    with served(project, WORKER_ENABLED="false") as server:
        page = open_page(f"{server.url}/ui/release")
        _agree(rows_of(page.get_by_role("region", name="Figures").locator("table")), released["backtest"])
        signals = rows_of(page.locator("table.signals"))
        for row, known in zip(sorted(signals), decided, strict=True):
            name, _, _, *shown = row
            assert (name, shown[3]) == (known["market_id"].removeprefix("sample:"), known["action"])
            _are(shown[:3] + shown[4:], known)
    board = serve(project)
    page = open_page(f"{board.url}/backtest")
    _agree(rows_of(page.get_by_role("table", name="figures")), released["backtest"])
    page.get_by_role("link", name="Signals", exact=True).click()
    signals = rows_of(page.get_by_role("table", name="signals"))
    for row, known in zip(sorted(signals), decided, strict=True):
        name, _, _, *shown = row
        assert (name, shown[3]) == (known["market_id"].removeprefix("sample:"), known["action"])
        _are([*shown[:3], shown[4]], known)
    page.get_by_role("link", name="Diagnostics", exact=True).click()
    ((_, _, *scores, _),) = rows_of(page.get_by_role("table", name="models"))
    of_model = released["model"]
    for text, key in zip(scores, ("brier", "brier_base_rate", "auc", "rows"), strict=True):
        _is(text, of_model[key])


def _decisions(project: Path) -> list[dict[str, Any]]:
    """What was published, by market."""
    opened = engine.open_engine(f"sqlite:///{project / '.tidemill' / 'state.sqlite'}")
    with engine.reading(opened) as conn:
        rows = conn.execute(sa.select(predictions).order_by(predictions.c.market_id)).mappings().all()
    opened.dispose()
    return [dict(row) for row in rows]


def _agree(rows: Sequence[Sequence[str]], released: dict[str, dict[str, float | None]]) -> None:
    """The model's figures and those of buying and holding."""
    shown = {re.sub(" of the backtest$|^closed ", "", name.lower()): texts for name, *texts in rows}
    assert shown.keys() == FIGURES.keys()
    for name, texts in shown.items():
        key, unit = FIGURES[name]
        for text, strategy in zip(texts, ("model", "buy_and_hold"), strict=True):
            value = released[strategy][key]
            _is(text, None if value is None else unit * value)


def _are(shown: Sequence[str], known: dict[str, Any]) -> None:
    """Probability, what is needed, net edge, confidence."""
    for text, key in zip(shown, ("probability", "threshold", "net_edge", "confidence"), strict=True):
        _is(text, 100 * known[key])


def _is(text: str, value: float | None) -> None:
    """`text` is `value` to the digits that it shows, and not zero where there is something."""
    if value is None:
        assert text in ("–", "-")
        return
    number = text.replace("\N{NO-BREAK SPACE}", "").replace("%", "").replace(",", "").replace(" ", "")
    digits = len(number.partition(".")[2])
    assert float(number) == pytest.approx(value, abs=0.5001 * 10**-digits), (text, value)
    assert bool(float(number)) == bool(value), (text, value)
