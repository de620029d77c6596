"""The grid of components and runs in a real browser, on both surfaces, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.grid import MEANINGS, SIGNS
from agent.store.control import runs
from agent.store.database.engine import open_engine, reading
from tests.browser.conftest import Dashboard
from tests.chrome import SLOW, needs_chrome
from tests.history import COMPONENTS, OUTCOMES, RUNS
from tests.served import served

pytestmark = [pytest.mark.browser, needs_chrome]


def test_a_cell_says_what_happened_and_leads_to_why(
    written: Path, database_url: str, serve: Callable[..., Dashboard], open_page: Callable[..., Any]
) -> None:
    from playwright.sync_api import expect

    with served(written) as server:
        for url in (f"{server.url}/ui/runs", f"{serve(written).url}/runs"):
            page = open_page(url)
            for number, (_, *steps) in enumerate(RUNS, 1):
                for component, step in zip(COMPONENTS, steps, strict=True):
                    outcome = OUTCOMES[step]
                    cell = page.get_by_role("link", name=f"{component} in run {number}: {MEANINGS[outcome]}")
                    expect(cell).to_have_text(SIGNS[outcome], timeout=SLOW)
            # Bars above: the longest run is the highest.
            bars = [page.get_by_role("link", name=f"Run {number}, ") for number in range(1, len(RUNS) + 1)]
            high = [bar.locator("rect, i").first.bounding_box()["height"] for bar in bars]
            assert max(high) == high[0] > high[2] > 0
            page.get_by_role("link", name="model in run 5: failed").click()
            expect(page.get_by_role("heading", name="model in run 5")).to_be_visible(timeout=SLOW)
            expect(page.get_by_text("the <model> broke").first).to_be_visible()
            expect(page.get_by_role("cell", name="crypto", exact=True)).to_be_visible()
            expect(page.get_by_text("Traceback: line 7").first).to_be_hidden()
            page.get_by_text("Traceback", exact=True).first.click()
            expect(page.get_by_text("Traceback: line 7").first).to_be_visible()
            expect(page.get_by_role("button", name="Retry").first).to_be_visible()
        page = open_page(f"{server.url}/ui/runs/5/components/model")
        page.get_by_role("button", name="Retry").click()
        page.wait_for_url("**/ui/runs/6")
        expect(page.locator("#status")).to_have_text("queued")
    newest = _runs(database_url)[0]
    assert (newest.retry_of, newest.targets) == (5, ("publish",))


def test_the_grid_refreshes_in_place(written: Path, open_page: Callable[..., Any]) -> None:
    with served(written) as server:
        page = open_page(f"{server.url}/ui/runs")
        count = "document.querySelectorAll('#grid *').length"
        before = page.evaluate(count)
        with page.expect_response("**/ui/grid"):  # by itself
            page.wait_for_function("window.htmx !== undefined")
        assert page.evaluate(count) == before > 60


def _runs(database_url: str) -> list[runs.Run]:
    engine = open_engine(database_url)
    try:
        with reading(engine) as conn:
            return runs.list_runs(conn)
    finally:
        engine.dispose()
