"""Every page of the server opens in Firefox too: Debian's, by its headless screenshot, since Playwright drives only a
build of its own. The dashboard draws itself after that picture is taken."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.test_reach import SERVER
from tests.served import served

FIREFOX = shutil.which("firefox-esr")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(FIREFOX is None, reason="no firefox-esr on PATH")]


def test_every_page_of_the_server_opens(project: Path, tmp_path: Path) -> None:
    with served(project, WORKER_ENABLED="false") as server:
        blank = _shot("about:blank", tmp_path)
        for place in SERVER:
            assert _shot(server.url + place, tmp_path) > 2 * blank, place


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
