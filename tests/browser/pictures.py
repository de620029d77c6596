"""The pictures of docs/images, taken anew in a real browser: `make pictures`.

Two projects are made for them: one of real data with a component of its own, and a made-up history whose morning has an
answer to each question. A picture is taken when two in a row are the same: nothing is drawn or moves any more.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.execution.workspace import open_workspace
from pipelines.values import dataclass
from tests.board import Dashboard, new_project, shown
from tests.chrome import SLOW, launched
from tests.history import write_history
from tests.paths import PROJECT
from tests.processes import close_heavy_nursery, heavy_nursery
from tests.served import INLINE, served

IMAGES = PROJECT / "docs" / "images"
QUESTIONS = ("fresh", "changed", "trade", "yesterday", "money")  # the cards of the morning, in their order
_LOOKS = 100
_IDLE = "() => new Promise(done => requestIdleCallback(() => requestAnimationFrame(done)))"
_MARK = """number => document.querySelectorAll("[aria-label=morning] article").forEach((card, at) => {
  card.style.outline = at === number ? "5px solid #d98316" : "";
  card.style.outlineOffset = "-1px";
})"""
_TO_THE_TOP = """heading => {
  const page = document.querySelector("[data-testid=stMain]");
  page.scrollTop += heading.getBoundingClientRect().top - 55;
}"""


@dataclass(frozen=True)
class Picture:
    """A picture of the dashboard. top: the heading that it begins with."""

    name: str
    place: str
    size: tuple[int, int] = (1280, 800)
    scheme: str = "light"
    top: str = ""


DASHBOARD = (
    Picture("dashboard-overview", "/", (1280, 840)),
    Picture("dashboard-markets", "/markets"),
    Picture("dashboard-diagnostics", "/diagnostics", (1280, 900), "dark"),
    Picture("dashboard-phone", "/signals", (390, 844), "dark"),
    Picture("dashboard-backtest", "/backtest?by=reason&key=flip", (1280, 900), top="Where the money came from"),
)
RUN = Picture("dashboard-agent", "/agent")


def main() -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        try:
            _morning(browser, Path(folder) / "history")
            _dashboard(browser, Path(folder) / "project")
        finally:
            close_heavy_nursery()


def _morning(browser: Any, folder: Path) -> None:
    folder.mkdir()
    (folder / "agent.toml").write_text(f"{INLINE}[worker]\nenabled = false\n", encoding="utf-8")
    with open_workspace(folder):  # which makes its tables
        write_history(f"sqlite:///{folder / '.tidemill' / 'state.sqlite'}", datetime.now(UTC))
    with served(folder) as server, _page(browser, f"{server.url}/", (1280, 760)) as page:
        page.wait_for_function("window.htmx !== undefined")
        for number, question in enumerate(QUESTIONS):
            page.evaluate(_MARK, number)
            _take(page, f"morning-{question}")


def _dashboard(browser: Any, folder: Path) -> None:
    new_project(folder)
    _run(folder)()
    with shown(folder) as board:
        for one in DASHBOARD:
            with _opened(browser, board, one) as page:
                if one.top:
                    page.get_by_role("heading", name=one.top).evaluate(_TO_THE_TOP)
                _take(page, one.name)
        with _opened(browser, board, RUN) as page:
            os.mkfifo(folder / "gate")
            board.wish("wait")
            ended = _run(folder, "--force", "inspection", "--force", "features")
            page.get_by_text("3 of 7: top shelf").first.wait_for()
            _take(page, RUN.name)
            (folder / "gate").write_text("go on", encoding="utf-8")
            ended()


def _run(folder: Path, *arguments: str) -> Callable[[], None]:
    """Begin a run; what is returned waits for its end."""
    process = heavy_nursery().start(folder, "agent", ["run", *arguments], folder / "run.log")

    def end() -> None:
        assert process.wait() == 0, process.said()

    return end


@contextmanager
def _page(browser: Any, url: str, size: tuple[int, int], scheme: str = "light") -> Iterator[Any]:
    view = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=view, color_scheme=scheme, timezone_id="Europe/Berlin")
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.goto(url)
    yield page
    context.close()


@contextmanager
def _opened(browser: Any, board: Dashboard, one: Picture) -> Iterator[Any]:
    with _page(browser, board.url + one.place, one.size, one.scheme) as page:
        page.get_by_role("heading", level=1).first.wait_for(state="attached")
        page.locator("[data-test-script-state=notRunning]").wait_for()
        page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
        yield page


def _take(page: Any, name: str) -> None:
    before, file = b"", IMAGES / f"{name}.png"
    for _ in range(_LOOKS):
        page.evaluate(_IDLE)
        now = page.screenshot()
        if now == before:
            file.write_bytes(now)
            print(file.relative_to(PROJECT))
            return
        before = now
    raise AssertionError(f"{name} did not come to rest")


if __name__ == "__main__":
    main()
