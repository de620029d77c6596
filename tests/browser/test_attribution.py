"""Where a backtest's money came from, in a real browser on both surfaces: the figures are those of metrics.json and of
the database, and a click leads from a group to its trades and to the candles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.store.database import engine
from agent.store.published import backtest_metrics
from tests.browser.conftest import Dashboard, rows_of
from tests.chrome import SLOW, needs_chrome
from tests.served import served

pytestmark = [pytest.mark.browser, needs_chrome]


def test_a_group_leads_to_its_trades_and_their_candles(
    serve: Callable[..., Dashboard], project: Path, open_page: Callable[..., Any]
) -> None:
    figures = _figures(project)
    with served(project, WORKER_ENABLED="false") as server:
        for url, marks in ((f"{server.url}/ui/backtest", ".candles .mark"), (f"{serve(project).url}/backtest", "")):
            page = open_page(url)
            _sums_agree(page, figures)
            _drawdowns_agree(page, figures)
            groups = page.get_by_role("table", name="attribution")
            everything = rows_of(page.get_by_role("table", name="trades"))
            assert len(everything) == figures["trades"]
            groups.get_by_role("link", name="IBM").click()
            page.wait_for_url(re.compile(r"key=sample%3AIBM"))
            _shows_alone(page, groups, "IBM")
            if marks:
                count = len(rows_of(page.get_by_role("table", name="trades")))
                assert page.locator(marks).count() == 2 * count
            else:
                alt = re.compile("Price of IBM with entries and exits")
                page.get_by_label(alt).or_(page.get_by_alt_text(alt)).first.wait_for(state="attached", timeout=SLOW)
            page.reload()
            _shows_alone(page, groups, "IBM")
            page.get_by_role("link", name="(show all)").click()
            _until(page, lambda page=page: len(rows_of(page.get_by_role("table", name="trades"))) == figures["trades"])


def test_the_figures_of_another_project_are_its_own(
    serve: Callable[..., Dashboard], other: Path, open_page: Callable[..., Any]
) -> None:
    figures = _figures(other)
    with served(other, WORKER_ENABLED="false") as server:
        for url in (f"{server.url}/ui/backtest", f"{serve(other).url}/backtest"):
            page = open_page(url)
            _sums_agree(page, figures)
            _drawdowns_agree(page, figures)


def _figures(project: Path) -> dict[str, Any]:
    """The model's figures as metrics.json has them, which is what the database says."""
    (file,) = (project / ".tidemill" / "releases").glob("20*/metrics.json")
    released = json.loads(file.read_text(encoding="utf-8"))["backtest"]["model"]
    opened = engine.open_engine(f"sqlite:///{project / '.tidemill' / 'state.sqlite'}")
    with engine.reading(opened) as conn:
        rows = conn.execute(sa.select(backtest_metrics).where(backtest_metrics.c.strategy == "model")).mappings().all()
    opened.dispose()
    assert {row["metric"]: row["value"] for row in rows} == pytest.approx(released)
    return dict(released)


def _sums_agree(page: Any, figures: dict[str, Any]) -> None:
    """However it is summed: as many trades, as much won, as much money."""
    for way in ("market", "day of exit", "probability at the signal", "reason of exit"):
        named = re.compile(f"^{way}")
        page.get_by_role("link", name=named).or_(page.get_by_role("radio", name=named)).or_(
            page.get_by_role("button", name=named)
        ).first.click()
        table = page.get_by_role("table", name="attribution")
        heading = table.locator("th").first
        _until(page, lambda heading=heading, named=named: bool(named.match(heading.inner_text().lower())))
        rows = rows_of(table)
        assert sum(int(row[1]) for row in rows) == figures["trades"]
        won = sum(int(row[1]) * _number(row[2]) / 100 for row in rows)
        assert won == pytest.approx(figures["trades"] * figures["hit_rate"], abs=0.01 * figures["trades"])
        text = page.get_by_text(re.compile(r"\d closed trades")).first.inner_text()
        closed, still_open, together = (_number(one) for one in re.findall(r"[+-]?[\d.]+ %", text))
        assert sum(_number(row[3]) for row in rows) == pytest.approx(closed, abs=0.005 * (len(rows) + 1))
        assert together == pytest.approx(100 * figures["total_return"], abs=0.006)
        assert closed + still_open == pytest.approx(together, abs=0.011)
    page.get_by_role("link", name="market", exact=True).or_(page.get_by_role("radio", name="market", exact=True)).or_(
        page.get_by_role("button", name="market", exact=True)
    ).first.click()


def _drawdowns_agree(page: Any, figures: dict[str, Any]) -> None:
    rows = rows_of(page.get_by_role("table", name="drawdowns"))
    assert 0 < len(rows) <= 5
    depths = [_number(row[0]) for row in rows]
    assert depths == sorted(depths, reverse=True)
    assert depths[0] == pytest.approx(100 * figures["max_drawdown"], abs=0.006)


def _shows_alone(page: Any, groups: Any, market: str) -> None:
    trades = page.get_by_role("table", name="trades")
    _until(page, lambda: {row[0] for row in rows_of(trades)} == {market})
    (row,) = (row for row in rows_of(groups) if row[0].startswith(market))
    assert len(rows_of(trades)) == int(row[1])
    assert sum(_number(one[-1]) for one in rows_of(trades)) == pytest.approx(
        _number(row[3]), abs=0.005 * int(row[1]) + 0.01
    )


def _number(text: str) -> float:
    return float(text.replace("%", "").replace(" ", ""))


def _until(page: Any, holds: Callable[[], bool]) -> None:
    for _ in range(SLOW // 100):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("the page never came to it")
