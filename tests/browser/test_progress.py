"""While a run goes on, both surfaces show the progress that the terminal shows, and no longer when it is over."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from agent.core.model import Mark
from agent.orchestrator import load_state
from agent.store.database.engine import Database, open_engine
from agent.store.state import mark_dirty
from tests.browser.conftest import Dashboard
from tests.chrome import SLOW, needs_chrome
from tests.served import served, wait_until

pytestmark = [pytest.mark.browser, needs_chrome]


def test_what_a_component_says_is_seen_on_both(dashboard: Dashboard, open_page: Callable[..., Any]) -> None:
    from playwright.sync_api import expect

    dashboard.wish("wait")
    engine = open_engine(f"sqlite:///{dashboard.folder / '.tidemill' / 'state.sqlite'}")
    with Database(engine, engine).writing() as connections:
        mark_dirty(connections.project, "inspection", Mark("a test"))
    engine.dispose()
    board = open_page(f"{dashboard.url}/agent")
    board.get_by_role("button", name="Run Agent Once").click()
    line = board.locator("table[aria-label=progress] tr").filter(has_text="inspection")
    expect(line).to_contain_text("3 of 7: top shelf", timeout=SLOW)
    assert line.locator(".tm-bar i").get_attribute("style") == "width:43%"
    with served(dashboard.folder, WORKER_ENABLED="false") as server:
        page = open_page(f"{server.url}/ui/runs/2")
        now = page.get_by_role("region", name="Now")
        expect(now).to_contain_text("inspection", timeout=SLOW)
        expect(now).to_contain_text("3 of 7: top shelf")
        assert now.get_by_role("progressbar").evaluate("bar => bar.position") == pytest.approx(3 / 7)
        os.close(os.open(dashboard.folder / "gate", os.O_WRONLY))
        wait_until(lambda: load_state(dashboard.folder)["inspection"].run_count == 2, seconds=60, what="the run")
        expect(page.locator("#status")).to_have_text("completed", timeout=SLOW)
        expect(now).to_have_count(0)
    expect(board.get_by_text("inspection came out the same")).to_be_visible(timeout=SLOW)
    assert not list((dashboard.folder / ".tidemill").glob("progress-*"))
