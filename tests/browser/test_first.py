"""The first screen of a stranger, in a real browser on both surfaces: one button, and then "2 decisions: look"."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import SETTINGS, Dashboard
from tests.chrome import SLOW, needs_chrome
from tests.served import served

pytestmark = [pytest.mark.browser, needs_chrome]


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A project that never ran."""
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "agent.toml").write_text(SETTINGS.replace('modules = ["checkpoint.py"]', ""), encoding="utf-8")
    return folder


@pytest.mark.parametrize("surface", ["server", "dashboard"])
def test_one_button_leads_to_decisions(
    new: Path, serve: Callable[..., Dashboard], open_page: Callable[..., Any], surface: str
) -> None:
    if surface == "server":
        with served(new, WORKER_CHECK_INTERVAL="0.5") as server:
            page = open_page(server.url)
            page.get_by_role("region", name="Begin here").get_by_role("button", name="Run once").wait_for()
            _begin(page, page.get_by_role("region", name="Begin here").get_by_role("button", name="Run once"))
    else:
        page = open_page(serve(new).url)
        _begin(page, page.get_by_role("button", name="Run Agent Once"))


def _begin(page: Any, button: Any) -> None:
    from playwright.sync_api import expect

    expect(page.get_by_text("Tidemill reads the prices of markets")).to_be_visible(timeout=SLOW)
    assert "make " not in page.locator("main, [data-testid=stMain]").first.inner_text()
    button.click()
    found = page.get_by_role("link", name=re.compile("^2 decisions: look$"))
    expect(found).to_be_visible(timeout=2 * SLOW)
    found.click()
    expect(page.get_by_role("link", name="IBM").first).to_be_visible(timeout=SLOW)
