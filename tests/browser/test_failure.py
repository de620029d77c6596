"""A failure as a card in a real browser, on both surfaces, with its remedies as buttons that work."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent import orchestrator
from agent.orchestrator import load_state
from tests.browser.conftest import Dashboard
from tests.chrome import SLOW, needs_chrome
from tests.e2e.test_bad_rows import ROWS, TOML
from tests.served import served, wait_until

pytestmark = [pytest.mark.browser, needs_chrome]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A project whose file has bad rows of two kinds; `ticks` failed twice."""
    folder = tmp_path / "broken"
    folder.mkdir()
    rows = list(ROWS)
    rows[3] = "2024-01-01T02:00:00Z,-1,2,1,1.5,10"
    rows[7] = "2024-01-01T06:00:00Z,1,2,1,1.5,-10"
    (folder / "prices.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "agent.toml").write_text(f"# mine\n{TOML}", encoding="utf-8")
    for _ in range(2):
        assert orchestrator.run_once(folder).status == "FAILED"
    return folder


@pytest.mark.parametrize("surface", ["server", "dashboard"])
def test_bad_rows_are_left_out_by_a_button(
    broken: Path, serve: Callable[..., Dashboard], open_page: Callable[..., Any], surface: str
) -> None:
    if surface == "server":
        with served(broken, WORKER_CHECK_INTERVAL="0.5") as server:
            page = open_page(server.url)
            _read(page, "pre.error")
            _act(page, broken)
    else:
        page = open_page(serve(broken).url)
        _read(page, "[data-testid=stAlertContainer]")
        _act(page, broken)


def _read(page: Any, error: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator(error).filter(has_text="open is not above zero").first).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile("Fails since .*, 2 times in a row")).first).to_be_visible()
    expect(page.get_by_text(re.compile("What waits for it: features, model")).first).to_be_visible()
    expect(page.get_by_text("Nothing has been released yet").first).to_be_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy for a report").click()
    if page.locator("[data-copy]").count() == 0:  # the dashboard shows the text first, with a button of its own
        text = page.get_by_test_id("stPopoverBody").get_by_test_id("stCode")
        text.hover()
        text.get_by_role("button").first.click()
    copied = ""
    for _ in range(100):
        copied = page.evaluate("navigator.clipboard.readText()")
        if copied:
            break
        page.wait_for_timeout(100)
    assert copied.startswith("Tidemill 0")
    assert "ticks failed in run 2" in copied
    assert "line 4 of prices.csv" in copied
    page.keyboard.press("Escape")


def _act(page: Any, folder: Path) -> None:
    """One kind at a time: rows that break another rule stop the run as before, until they are left out as well."""
    from playwright.sync_api import expect

    address = page.url
    rules: list[str] = []
    for rule in ("open is not above zero", "volume is negative"):
        rules.append(rule)
        page.goto(address)
        expect(page.get_by_text(f"Leaving out adds “{rule}” to on_bad_rows").first).to_be_visible(timeout=SLOW)
        page.get_by_role("button", name="Leave such rows out and retry").click()
        wait_until(partial(_is_over, folder, rules), seconds=120, what=f"ticks without rows of {rules}")
        text = (folder / "agent.toml").read_text(encoding="utf-8")
        assert text.startswith("# mine\n")
        assert tomllib.loads(text)["ticks"] == {"on_bad_rows": rules}


def _is_over(folder: Path, rules: list[str]) -> bool:
    row = load_state(folder)["ticks"]
    return row.run_count == 1 if len(rules) > 1 else row.failure_count == 3 and "volume is" in (row.last_error or "")
