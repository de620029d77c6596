"""The browser that tests and benchmarks drive: where it is, its flags, and how it is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PATH = os.environ.get("CHROME_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SLOW = 60_000  # ms: a page that waits for work on a busy machine

needs_chrome = pytest.mark.skipif(PATH is None, reason="no chromium on PATH and no CHROME_PATH")


@contextmanager
def launched() -> Iterator[Any]:
    """A running browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PATH, headless=True, args=FLAGS)
        yield browser
        browser.close()
