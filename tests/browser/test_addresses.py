"""Every run, component, market, release and comparison has an address: names lead there, and a reload stays there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import orchestrator
from agent.cli.main import main
from agent.orchestrator import load_state
from tests.browser.conftest import Dashboard
from tests.chrome import SLOW, needs_chrome

COMPARISON = "Against another release or try"
pytestmark = [pytest.mark.browser, needs_chrome]

OpenPage = Callable[..., Any]


def test_names_lead_to_their_places_without_a_new_session(
    serve: Callable[..., Dashboard], project: Any, open_page: OpenPage
) -> None:
    from playwright.sync_api import expect

    # With a password: a page that is loaded again asks for it again, a link that is followed does not.
    page = open_page(serve(project, AGENT_DASHBOARD_PASSWORD="tide").url)
    page.get_by_label("Password", exact=True).fill("tide")
    page.get_by_role("button", name="Open").click()
    page.get_by_role("region", name="morning").get_by_role("link", name=re.compile("^20")).click()
    expect(page.locator("table[aria-label=signals]")).to_be_visible(timeout=SLOW)
    assert re.search(r"/signals\?release=20", page.url)
    page.locator("table[aria-label=signals]").get_by_role("link", name="IBM").click()
    expect(page.get_by_role("heading", name="IBM")).to_be_visible(timeout=SLOW)
    assert page.url.endswith("/markets?market=sample%3AIBM")
    page.get_by_role("link", name="Agent", exact=True).click()
    page.locator("table[aria-label=orchestrator_state]").get_by_role("link", name="features").click()
    expect(page.get_by_role("heading", name="features")).to_be_visible(timeout=SLOW)
    assert page.url.endswith("/component?component=features")
    page.locator("table[aria-label=attempts]").get_by_role("link", name="1").click()
    expect(page.locator("table[aria-label=events]")).to_be_visible(timeout=SLOW)
    assert page.url.endswith("/runs?run=1")
    page.go_back()
    expect(page.get_by_role("heading", name="features")).to_be_visible(timeout=SLOW)
    page.get_by_role("link", name="Overview", exact=True).click()
    page.locator(".js-plotly-plot").get_by_text("model", exact=True).click()
    expect(page.get_by_role("heading", name="model")).to_be_visible(timeout=SLOW)
    assert page.get_by_label("Password", exact=True).count() == 0


def test_a_pasted_link_lands_there_and_a_reload_stays(dashboard: Dashboard, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    release = next((dashboard.folder / ".tidemill" / "releases").glob("20*")).name
    places = {
        "runs?run=1": "table[aria-label=events]",
        "component?component=backtest": "h3:has-text('backtest')",
        "markets?market=sample:AAPL": "h3:has-text('AAPL')",
        f"signals?release={release}": "table[aria-label=signals]",
        f"backtest?release={release}&against={release}": "table[aria-label=figures]",
    }
    page = open_page("about:blank")
    for place, marker in places.items():
        page.goto(f"{dashboard.url}/{place}")
        for _ in range(2):
            expect(page.locator(marker).first).to_be_visible(timeout=SLOW)
            _idle(page)
            assert page.url == f"{dashboard.url}/{place}"
            page.reload()
    # What is chosen on the page is in its address.
    page.goto(f"{dashboard.url}/component?component=backtest")
    page.get_by_role("radio", name="ticks", exact=True).or_(page.get_by_role("button", name="ticks")).click()
    page.wait_for_url("**/component?component=ticks")
    expect(page.locator("h3:has-text('ticks')")).to_be_visible(timeout=SLOW)
    page.reload()
    expect(page.locator("h3:has-text('ticks')")).to_be_visible(timeout=SLOW)
    assert load_state(dashboard.folder)["ticks"].run_count == 1


def test_what_is_gone_is_said(dashboard: Dashboard, open_page: OpenPage) -> None:
    from playwright.sync_api import expect

    page = open_page("about:blank")
    for place in ("runs?run=99", "component?component=gone", "markets?market=gone", "signals?release=gone"):
        page.goto(f"{dashboard.url}/{place}")
        expect(page.get_by_role("alert").filter(has_text=re.compile("any more"))).to_be_visible(timeout=SLOW)


def test_one_release_against_another_says_why(
    serve: Callable[..., Dashboard], project: Path, open_page: OpenPage
) -> None:
    from playwright.sync_api import expect

    with (project / "agent.toml").open("a", encoding="utf-8") as file:
        file.write("[inference]\nmargin = 0.03\n")
    assert orchestrator.run_once(project).status == "COMPLETED"
    page = open_page(f"{serve(project).url}/backtest")
    expect(page.get_by_text("Only [inference] margin 0.0 → 0.03 differs.")).to_be_visible(timeout=SLOW)
    table = page.locator("table[aria-label=releases]")
    expect(table.locator("tbody tr").first.locator("td").last).not_to_have_text("same")
    expect(page.get_by_text(re.compile(r"Trades: \d+ in both; "))).to_be_visible()
    expect(page.get_by_role("heading", level=3).last).to_have_text(COMPARISON)  # nobody asked for it yet
    expect(page.locator("table[aria-label='trades of one alone'] tbody tr").first).to_be_visible()
    _idle(page)
    expect(page.get_by_role("alert").filter(has_text="fault")).to_have_count(0)


def test_a_try_against_the_release_in_force(
    serve: Callable[..., Dashboard], project: Path, open_page: OpenPage
) -> None:
    from playwright.sync_api import expect

    wary = ["try", "--set", "inference.margin=0.03", "--name", "wary"]
    assert main(["--project-dir", str(project), *wary]) == 0
    page = open_page(f"{serve(project).url}/backtest?release=wary")
    expect(page.get_by_text("Only [inference] margin 0.0 → 0.03 differs.")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile("^What try wary took. Computed inference, backtest"))).to_be_visible()
    expect(page.get_by_role("heading", name=COMPARISON)).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("heading", level=3).first).to_have_text(COMPARISON)
    expect(page.locator("table[aria-label=releases] thead th").nth(2)).to_have_text("wary")
    pairs = page.locator("table[aria-label='on the same rows'] tbody tr")
    expect(pairs.first).to_contain_text("Brier score")
    expect(pairs.first.locator("td").nth(1)).to_have_text("same")  # it is one model
    expect(page.get_by_text(re.compile(r"Trades: \d+ in both; .* only wary"))).to_be_visible()
    expect(page.locator("table[aria-label='trades of one alone'] tbody tr").first).to_be_visible()
    page.goto(page.url.replace("release=wary", "release=gone"))
    expect(page.get_by_role("alert").filter(has_text=re.compile("any more"))).to_be_in_viewport(ratio=1, timeout=SLOW)


def _idle(page: Any) -> None:
    page.locator("[data-test-script-state=notRunning]").wait_for()
