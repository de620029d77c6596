"""The dashboard in a real browser, on a real server, with real data."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.orchestrator import load_state
from agent.store.control import runs
from agent.store.database import engine
from tests.browser.conftest import Dashboard
from tests.chrome import SLOW, needs_chrome
from tests.served import served, wait_until

pytestmark = [pytest.mark.browser, needs_chrome]

OpenPage = Callable[..., Any]

# Tab -> something that only a tab with data has.
FULL = {
    "Overview": "section[aria-label=morning]",
    "Agent": "table[aria-label=orchestrator_state]",
    "Components": "text=Where the newest one came from",
    "Runs": "table[aria-label=events]",
    "Signals": "table[aria-label=signals]",
    "Markets and ticks": "text=Newest rows of its source",
    "Diagnostics": "text=Distribution of",
    "Backtest": "table[aria-label=figures]",
    "Data": "text=Run query",
}


def test_every_tab_opens(dashboard: Dashboard, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page(dashboard.url)
    for tab, marker in FULL.items():
        page.get_by_role("link", name=tab, exact=True).click()
        expect(page.locator(marker).first).to_be_visible(timeout=SLOW)
        expect(page.get_by_role("heading", name=tab, exact=True)).to_have_count(1)
        _idle(page)
        expect(page.get_by_role("alert").filter(has_text="fault")).to_have_count(0)
    page.get_by_role("button", name="Run query").click()
    expect(page.get_by_text("8 rows in")).to_be_visible(timeout=SLOW)
    # Times stand in the viewer's zone, UTC on hover.
    page.get_by_role("link", name="Agent", exact=True).click()
    shown = _row(page, "features").locator("time")
    local, utc = shown.inner_text(), shown.get_attribute("title")
    assert utc.endswith("UTC")
    assert local != utc[: len(local)]


def test_an_empty_project_says_what_to_do(empty: Dashboard, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page(empty.url)
    # The script of tables comes before one is to be drawn.
    asked = "() => performance.getEntriesByType('resource').some(one => one.name.includes('/js/DataFrame.'))"
    page.wait_for_function(asked, timeout=SLOW)
    for tab in FULL:
        page.get_by_role("link", name=tab, exact=True).click()
        what = "Run query" if tab == "Data" else "Run Agent Once"
        expect(page.get_by_text(what).first).to_be_visible(timeout=SLOW)
        _idle(page)
        expect(page.get_by_role("alert").filter(has_text="fault")).to_have_count(0)


def test_a_mark_is_cut_off_and_a_failure_recovers(dashboard: Dashboard, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page(f"{dashboard.url}/agent")
    _mark(page, "features", "looks odd")
    expect(_row(page, "features")).to_contain_text("looks odd", timeout=SLOW)
    _press(page)
    expect(page.get_by_text("features came out the same, so nothing downstream had to run")).to_be_visible(timeout=SLOW)
    cells = _row(page, "features").locator("td")
    expect(cells.nth(2)).to_have_text("false")
    expect(cells.nth(3)).to_have_text("2")
    assert load_state(dashboard.folder)["model"].run_count == 1

    dashboard.wish("fail")
    _mark(page, "inspection", "")
    expect(_row(page, "inspection")).to_contain_text("marked", timeout=SLOW)
    _press(page)
    expect(page.get_by_role("alert").filter(has_text="the inspection found a fault")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("alert").filter(has_text="write ok into it")).to_be_visible()
    expect(_row(page, "inspection").locator("td").nth(4)).to_have_text("1")
    expect(page.get_by_text("Traceback", exact=True)).to_be_visible()
    dashboard.wish("ok")
    _press(page)
    expect(page.get_by_text("inspection came out the same")).to_be_visible(timeout=SLOW)
    expect(_row(page, "inspection")).to_contain_text("up to date", timeout=SLOW)
    # What a click says must not take the place of the style sheet.
    expect(page.locator("table.tm-table").first).to_have_css("border-collapse", "collapse")


def test_two_viewers_see_one_run_and_a_killed_one_recovers(dashboard: Dashboard, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    first, second = open_page(f"{dashboard.url}/agent"), open_page(f"{dashboard.url}/agent")
    dashboard.wish("wait")
    _mark(first, "inspection", "to be watched")
    expect(_row(second, "inspection")).to_contain_text("to be watched", timeout=SLOW)
    _press(first)
    # Progress comes to both without a reload; a second click starts no second run.
    for page in (first, second):
        line = page.locator("table[aria-label=progress] tr").filter(has_text="inspection")
        expect(line).to_contain_text("running", timeout=SLOW)
    _press(second)
    _idle(second)
    assert [run.status for run in _runs(dashboard)] == ["RUNNING", "COMPLETED"]

    # The page stays usable while the run goes on.
    second.get_by_role("link", name="Signals", exact=True).click()
    expect(second.locator("table[aria-label=signals]")).to_be_visible(timeout=SLOW)
    second.get_by_role("link", name="Agent", exact=True).click()

    os.kill(_pid(_runs(dashboard)[0].owner), signal.SIGKILL)
    for page in (first, second):
        expect(page.get_by_text("died. Nothing is lost")).to_be_visible(timeout=SLOW)
    dashboard.wish("ok")
    _press(first)
    expect(first.get_by_text("inspection came out the same")).to_be_visible(timeout=SLOW)
    assert [run.status for run in _runs(dashboard)] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert load_state(dashboard.folder)["inspection"].run_count == 2


def test_the_background_runner_is_steered_and_a_run_is_answered(dashboard: Dashboard, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    ask = {"goal": "recompute inspection", "require_approval": True}
    with served(dashboard.folder, WORKER_CHECK_INTERVAL="0.5") as server, server.client() as client:
        client.post("/api/agent/start").raise_for_status()
        page = open_page(f"{dashboard.url}/agent")
        page.get_by_text("Background runner").click()
        for button, state in (("Pause", "paused"), ("Resume", "running")):
            page.get_by_role("button", name=button).click()
            # First that the click arrived, then that the page tells it: a failure says which of the two was missing.
            arrived = partial(_is_runner, client, state)
            wait_until(arrived, seconds=60, what=f"the runner to be {state}, which {button} was clicked for")
            expect(page.get_by_text(f"{state}, every 60 min")).to_be_visible(timeout=SLOW)

        approved = client.post("/runs", json=ask).json()["id"]
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("inspection came out the same")).to_be_visible(timeout=SLOW)
        rejected = client.post("/runs", json=ask).json()["id"]
        page.get_by_role("button", name="Reject").click()
        expect(page.get_by_text("rejected by a person at the dashboard")).to_be_visible(timeout=SLOW)
    states = {run.id: run.status for run in _runs(dashboard)}
    assert (states[approved], states[rejected]) == ("COMPLETED", "CANCELLED")
    assert load_state(dashboard.folder)["inspection"].run_count == 2


def test_who_may_look_and_who_may_act(
    project: Path, serve: Callable[..., Dashboard], open_page: OpenPage, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    guarded = tmp_path / "guarded"
    shutil.copytree(project, guarded, symlinks=True)
    settings = guarded / "agent.toml"
    settings.write_text(settings.read_text() + "[dashboard]\nread_only = true\n", encoding="utf-8")
    page = open_page(f"{serve(guarded, AGENT_DASHBOARD_PASSWORD='tide').url}/agent")
    page.get_by_label("Password", exact=True).fill("ebb")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_text("This is not the password")).to_be_visible(timeout=SLOW)
    expect(page.locator("table")).to_have_count(0)
    page.get_by_label("Password", exact=True).fill("tide")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("table[aria-label=orchestrator_state]")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("button", name=re.compile("Run|Mark|Cancel"))).to_have_count(0)

    # Without a password it shows nothing on an address that others reach.
    opened = open_page(serve(project, STREAMLIT_SERVER_ADDRESS="0.0.0.0").url)
    expect(opened.get_by_text("has no password")).to_be_visible(timeout=SLOW)
    expect(opened.get_by_role("article")).to_have_count(0)


def _press(page: Any) -> None:
    page.get_by_role("button", name="Run Agent Once").click()


def _mark(page: Any, component: str, reason: str) -> None:
    """Mark a component through the page's form."""
    from playwright.sync_api import TimeoutError as PlaywrightTimeout
    from playwright.sync_api import expect

    if not page.get_by_role("button", name="Mark dirty").is_visible():
        page.get_by_text("Mark dirty").first.click()
    box = page.get_by_placeholder("Choose one").or_(page.get_by_label("Component", exact=True)).first
    option = page.get_by_role("option", name=component, exact=True)
    for _ in range(10):  # the page above may be drawn anew just then, which closes the list
        box.click()
        box.fill(component)
        with contextlib.suppress(PlaywrightTimeout):
            option.click(timeout=4000)
            break
        page.keyboard.press("Escape")
    expect(box).to_have_value(component)
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Mark dirty").click()


def _row(page: Any, component: str) -> Any:
    cell = page.get_by_role("cell", name=component, exact=True)
    return page.locator("table[aria-label=orchestrator_state] tr").filter(has=cell)


def _idle(page: Any) -> None:
    page.locator("[data-test-script-state=notRunning]").wait_for()


def _is_runner(client: httpx.Client, state: str) -> bool:
    return bool(client.get("/api/agent/status").json()["state"] == state)


def _runs(dashboard: Dashboard) -> list[runs.Run]:
    opened = engine.open_engine(f"sqlite:///{dashboard.folder / '.tidemill' / 'state.sqlite'}")
    try:
        with engine.reading(opened) as conn:
            return runs.list_runs(conn)
    finally:
        opened.dispose()


def _pid(owner: str | None) -> int:
    assert owner is not None
    return int(owner.split("/")[3])
