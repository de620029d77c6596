"""Every page opens in Firefox too: Debian's, which Playwright does not drive. The server's pages by its headless
screenshot; the dashboard, which draws itself after such a picture is taken, by its BiDi port."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.browser.bidi import firefox
from tests.browser.conftest import Dashboard
from tests.browser.test_dashboard import FULL
from tests.browser.test_reach import REPORT, SERVER
from tests.served import served, wait_until

PLACES = {
    "Agent": "agent",
    "Components": "component",
    "Runs": "runs",
    "Signals": "signals",
    "Markets and ticks": "markets",
    "Diagnostics": "diagnostics",
    "Backtest": "backtest",
    "Trading": "trading",
    "Data": "data",
}
FIREFOX = shutil.which("firefox-esr")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(FIREFOX is None, reason="no firefox-esr on PATH")]


def test_every_page_of_the_server_opens(traded: Path, tmp_path: Path) -> None:
    with served(traded, WORKER_ENABLED="false") as server:
        blank = _shot("about:blank", tmp_path)
        for place in (*SERVER, REPORT):
            assert _shot(server.url + place, tmp_path) > 1.5 * blank, place  # one that leads nowhere has a sentence


def test_every_tab_of_the_dashboard_opens(serve: Callable[..., Dashboard], traded: Path, tmp_path: Path) -> None:
    assert FIREFOX is not None
    board = serve(traded)
    with firefox(FIREFOX, tmp_path) as page:
        for tab, marker in {**FULL, "Trading": "table[aria-label=limits]"}.items():
            place = "" if tab == "Overview" else PLACES[tab]
            page.open(f"{board.url}/{place}")
            wait_until(partial(page.evaluate, _has(marker)), seconds=120, what=f"{tab} in Firefox")
            assert page.evaluate("document.querySelectorAll('[data-testid=stException]').length") == 0
            assert page.evaluate("document.body.innerText.includes('met a fault')") is False


def _has(marker: str) -> str:
    """Whether the page has what Playwright finds by `marker`, in JavaScript."""
    text = marker.removeprefix("text=")
    if text != marker:
        return f"document.body.innerText.includes({json.dumps(text)})"
    return f"document.querySelector({json.dumps(marker)}) !== null"


def _shot(url: str, folder: Path) -> int:
    """The size of a picture of the page: an empty one is small."""
    assert FIREFOX is not None
    file = folder / "shot.png"
    file.unlink(missing_ok=True)
    command = [FIREFOX, "--headless", "--profile", str(folder / "profile"), "--window-size", "1440,1000"]
    (folder / "profile").mkdir(exist_ok=True)
    subprocess.run(
        [*command, "--screenshot", str(file), url],
        check=True,
        capture_output=True,
        timeout=120,
        env={"HOME": str(folder)},
    )
    return file.stat().st_size
