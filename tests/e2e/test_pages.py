"""The pages in a real browser: start, run once, watch events come, pause, change the interval, approve a run.

PAGES_SHOTS names a folder for screenshots (light and dark, 1280 and 390 px wide), to be looked at by a person.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chrome import SLOW, needs_chrome
from tests.served import Served, copy_home, served

pytestmark = [pytest.mark.browser, needs_chrome]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(copy_home(tmp_path_factory, tmp_path_factory.mktemp("pages")), WORKER_CHECK_INTERVAL="0.5") as one:
        yield one


@pytest.fixture
def page(browser: Any, server: Served) -> Iterator[Any]:
    """A page whose scripts raise nothing and whose requests all stay on the server and within its rules."""
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
    one = context.new_page()
    one.set_default_timeout(SLOW)
    faults: list[str] = []
    one.on("pageerror", lambda error: faults.append(str(error)))
    one.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    yield one
    context.close()
    assert faults == []


def test_the_agent_is_steered_from_the_page(page: Any, server: Served) -> None:
    from playwright.sync_api import expect

    page.goto("/")
    expect(page.locator("#state")).to_have_text("stopped")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#state")).to_have_text("running", timeout=SLOW)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("paused", timeout=SLOW)
    page.get_by_label("A cycle every").fill("45")
    page.get_by_role("button", name="Set interval").click()
    expect(page.locator("#minutes")).to_have_text("45 min", timeout=SLOW)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state")).to_have_text("running", timeout=SLOW)
    page.get_by_role("button", name="Run once").click()
    expect(page.locator("#cycles")).to_have_text("1", timeout=SLOW)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state")).to_have_text("stopped", timeout=SLOW)
    with server.client() as client:
        status = client.get("/api/agent/status").json()
    assert (status["run_count"], status["interval_minutes"]) == (1, 45)


def test_the_report_draws_itself_and_asks_for_nothing_else(browser: Any, server: Served) -> None:
    from playwright.sync_api import expect

    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/ui/release")
    page.get_by_role("link", name="Report").click()
    for name in ("equity", "drawdown", "calibration"):
        expect(page.locator(f"#chart-{name}.js-plotly-plot .main-svg").first).to_be_attached(timeout=SLOW)
    assert page.url.endswith("/ui/release/report")
    with server.client() as client:
        rules = client.get("/ui/release/report").headers["content-security-policy"]
    assert rules.startswith("sandbox allow-scripts;"), "it has no rights of the server's own pages"
    assert [url for url in asked if not url.startswith(server.url)] == []
    context.close()


def test_a_run_is_approved_and_its_events_come_without_a_reload(page: Any) -> None:
    from playwright.sync_api import expect

    page.goto("/ui/runs")
    page.get_by_label("Goal").fill("recompute inference")
    page.get_by_label("ask before it runs").check()
    page.get_by_role("button", name="Queue it").click()
    page.wait_for_url(re.compile(r"/ui/runs/\d+$"))
    page.evaluate("window.sameDocument = true")
    expect(page.locator("#status")).to_have_text("awaiting approval", timeout=SLOW)
    expect(page.locator("pre")).to_contain_text("inference")
    assert page.evaluate("window.sameDocument") is True
    page.get_by_role("button", name="Approve").click()
    page.wait_for_load_state()
    page.evaluate("window.sameDocument = true")
    expect(page.locator("#status")).to_have_text("completed", timeout=SLOW)
    assert page.evaluate("window.sameDocument") is True
    told = page.locator("ol.timeline strong").all_inner_texts()
    assert told[0] == "RUN_CREATED"
    assert "APPROVAL_GIVEN" in told
    assert told[-1] == "RUN_COMPLETED"
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_and_read_without_javascript(browser: Any, server: Served, scheme: str, width: int) -> None:
    context = browser.new_context(
        base_url=server.url,
        viewport={"width": width, "height": 844},
        color_scheme=scheme,
        java_script_enabled=False,
    )
    shots = os.environ.get("PAGES_SHOTS")
    page = context.new_page()
    for name, address in (
        ("portfolio", "/"),
        ("runs", "/ui/runs"),
        ("run", "/ui/runs/1"),
        ("release", "/ui/release"),
        ("reference", "/ui/reference"),
    ):
        page.goto(address)
        assert page.locator("h1").count() == 1
        content = page.locator("main").evaluate("node => document.documentElement.scrollWidth")
        assert content <= width, f"{name} is {content} px wide"
        if shots:
            Path(shots).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(Path(shots) / f"{name}-{scheme}-{width}.png"), full_page=True)
    context.close()
