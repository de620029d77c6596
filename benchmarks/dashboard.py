"""How long the dashboard takes with 500 markets, 10 M bars, 10 000 runs, in a real browser. Fails beyond the limits.

    python benchmarks/dashboard.py            makes the project below the temporary folder, which takes minutes
    python benchmarks/dashboard.py FOLDER     uses the project in FOLDER

First paint is from the click on a tab to its first content; "whole" until every chart is drawn. Each tab is opened
twice: by the first viewer after the server's start, who waits for libraries and files to be read, and again. An
interaction begins when the browser has nothing to do, before the first click of it, and ends when the browser has
nothing to do again, charts and all. What of it all is the server's computing is measured beside it without a browser
(see pages.py), and what Streamlit and the browser take for pages that show one line is the baseline, in the same run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import LOOKS
from tests.chrome import SLOW, launched
from tests.paths import PROJECT

PAINT_SECONDS, INTERACTION_SECONDS, MEMORY_MB = 1.0, 0.5, 700
MARKETS, DAYS, TICKS_A_DAY, RUNS = 500, 36, 1000, 10_000
PORT = 8599
_EMPTY = """
import streamlit as st

def page():
    st.html("<p id=here>" + here.title + "</p>")
    st.fragment(answer)()

def answer():
    pressed = st.button("Press")
    st.html("<p id=answer>" + ("pressed" if pressed else "") + "</p>")

here = st.navigation([st.Page(page, title=title, url_path=title) for title in ("One", "Two")], position="top")
here.run()
"""

_SETTINGS = """
[[sources.files.datasets]]
path = "ticks/*.parquet"
kind = "spot"
content = "trades"
ts_unit = "ms"

[model]
kind = "logistic"
max_iter = 20
max_train_bars = 300
"""

# Tab -> what is on it when its first content is there, and whether it has charts.
_TABS = {
    "Overview": ("section[aria-label=morning]", True),
    "Agent": ("table[aria-label=orchestrator_state]", False),
    "Components": ("text=Where the newest one came from", True),
    "Runs": ("table[aria-label=runs]", True),
    "Signals": ("table[aria-label=signals]", True),
    "Markets and ticks": ("[data-testid=stDataFrame]", True),
    "Diagnostics": ("text=Brier score", True),
    "Backtest": ("text=Simulated on past data", True),
    "Data": ("text=Run query", False),
}


def make_project(folder: Path) -> None:
    """Eighteen million made-up trades, which become ten million bars, and a run over them."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(7)
    (folder / "ticks").mkdir(parents=True, exist_ok=True)
    (folder / "agent.toml").write_text(_SETTINGS, encoding="utf-8")
    level = draw.uniform(5, 500, MARKETS)
    names = np.array([f"MKT{number:03d}" for number in range(MARKETS)])
    for day in range(DAYS):
        start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
        at = np.sort(draw.integers(0, 86_400_000, (MARKETS, TICKS_A_DAY)), axis=1)
        price = level[:, None] * np.exp(np.cumsum(draw.normal(0, 4e-4, (MARKETS, TICKS_A_DAY)), axis=1))
        level = price[:, -1]
        pl.DataFrame(
            {
                "market": np.repeat(names, TICKS_A_DAY),
                "ts": (int(start.timestamp() * 1000) + at).ravel(),
                "price": price.ravel().round(4),
                "size": draw.exponential(1, MARKETS * TICKS_A_DAY).round(4),
                "id": np.tile(np.arange(TICKS_A_DAY), MARKETS) + day * TICKS_A_DAY,
            }
        ).write_parquet(folder / "ticks" / f"{start:%Y-%m-%d}.parquet")
    subprocess.run([sys.executable, "-m", "agent.orchestrator", "--mode", "once"], cwd=folder, check=True, env=_env())
    _repeat_run(folder)


def _repeat_run(folder: Path) -> None:
    """As many runs before it as there are RUNS, with its attempts, as one that ran every minute for a week has them."""
    import sqlalchemy as sa

    from agent.store.database.engine import open_engine, writing
    from agent.store.tables import attempts, runs

    opened = open_engine(f"sqlite:///{folder / '.tidemill' / 'state.sqlite'}")
    with writing(opened) as conn:
        run = dict(conn.execute(sa.select(runs)).mappings().one())
        tried = [dict(row) for row in conn.execute(sa.select(attempts)).mappings()]
        numbers = range(run["id"] + 1, run["id"] + RUNS)
        conn.execute(sa.insert(runs), [{**run, "id": number, "idempotency_key": None} for number in numbers])
        rows = [{**row, "run_id": number} for number in numbers for row in tried]
        for row in rows:
            del row["id"]
        conn.execute(sa.insert(attempts), rows)
    opened.dispose()


@contextmanager
def serving(folder: Path, app: Path = PROJECT / "dashboard" / "app.py") -> Iterator[psutil.Process]:
    """Streamlit's server of `app` on the project in `folder`."""
    command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(PORT)]
    command += ["--server.headless", "true", "--browser.gatherUsageStats", "false"]
    with subprocess.Popen(command, cwd=folder, env=_env(), stdout=subprocess.DEVNULL) as server:
        try:
            _await_server()
            yield psutil.Process(server.pid)
        finally:
            server.terminate()


def baseline(browser: Browser) -> tuple[float, float]:
    """Seconds that Streamlit and the browser take where there is next to nothing to show: the worst of the first paints
    of pages with one line, and of the answers to a button."""
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app.py"
        app.write_text(_EMPTY, encoding="utf-8")
        with serving(app.parent, app):
            page = _opened(browser, "Two", "#here")
            paints, answers = [], []
            for title in ("One", "Two") * 3:
                begun = time.monotonic()
                page.get_by_role("link", name=title, exact=True).click()
                page.locator("#here", has_text=title).wait_for()
                paints.append(time.monotonic() - begun)
                _settle(page)
                _rest(page)
                begun = time.monotonic()
                page.get_by_role("button", name="Press").click()
                page.locator("#answer", has_text="pressed").wait_for()
                _settle(page)
                _rest(page)
                answers.append(time.monotonic() - begun)
            page.context.close()
    return max(paints), max(answers)


def computing(folder: Path) -> dict[str, dict[str, float]]:
    """Tab -> which look -> seconds that the server computes: see pages.py."""
    command = [sys.executable, str(Path(__file__).with_name("pages.py")), str(folder)]
    done = subprocess.run(command, env=_env(), check=True, capture_output=True, text=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def open_tabs(page: Page, label: str) -> list[tuple[str, float, float]]:
    """Open each tab by a click: what, seconds to the first content, seconds until it is whole."""
    found = []
    for tab, (marker, has_charts) in _TABS.items():
        begun = time.monotonic()
        page.get_by_role("link", name=tab, exact=True).click()
        page.locator(marker).first.wait_for()
        first = time.monotonic() - begun
        _settle(page)
        if has_charts:
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
        found.append((f"{tab}, {label}", first, time.monotonic() - begun))
    return found


def interact(page: Page) -> list[tuple[str, float]]:
    """What people do on the heavy tabs: what, seconds until the page has answered."""

    def go(tab: str) -> None:
        page.get_by_role("link", name=tab, exact=True).click()
        page.locator(_TABS[tab][0]).first.wait_for()
        _settle(page)

    def timed(what: str, do: Callable[[], None]) -> None:
        _rest(page)
        begun = time.monotonic()
        do()
        _settle(page)
        _rest(page)
        found.append((what, time.monotonic() - begun))

    def search() -> None:
        page.get_by_label("Find a market").fill("MKT123")
        page.get_by_label("Find a market").press("Enter")
        page.get_by_role("heading", name="MKT123").wait_for()

    def choose(label: str, option: str) -> None:
        page.get_by_label(label, exact=True).click()
        page.keyboard.type(option)  # long lists are drawn in part only
        page.get_by_role("option", name=option, exact=True).click()

    def query() -> None:
        page.get_by_role("button", name="Run query").click()
        page.get_by_text("rows in").wait_for()

    found: list[tuple[str, float]] = []
    go("Markets and ticks")
    timed("search a market", search)
    timed("its last week", lambda: page.get_by_role("radio", name="week").click())
    timed("its last day", lambda: page.get_by_role("radio", name="day", exact=True).click())
    go("Signals")
    timed("what to enter", lambda: page.get_by_role("radio", name="to enter").click())
    go("Diagnostics")
    timed("another feature", lambda: choose("Distribution of", "rsi"))
    go("Data")
    choose("Example", "Bars of each market")
    _settle(page)
    timed("SQL over all bars", query)
    return found


def main() -> int:
    """Print the figures; 1 where one is beyond its limit."""
    given = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    folder = given or Path(tempfile.mkdtemp(prefix="tidemill-bench-"))
    try:
        if given is None:
            make_project(folder)
        _print_computing(computing(folder))
        with launched() as browser:
            print("baseline: first paint {:.2f} s, interaction {:.2f} s".format(*baseline(browser)))
            with serving(folder) as server:
                begun = time.monotonic()
                page = _opened(browser, "data", _TABS["Data"][0])
                print(f"page loaded in {time.monotonic() - begun:.2f} s")
                tabs = open_tabs(page, "first viewer") + open_tabs(page, "again")
                done = interact(page)
                memory = server.memory_info().rss / 1e6
    finally:
        if given is None:
            shutil.rmtree(folder, ignore_errors=True)
    return _report(tabs, done, memory)


def _opened(browser: Browser, place: str, marker: str) -> Page:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(SLOW)
    page.goto(f"http://127.0.0.1:{PORT}/{place}")
    page.locator(marker).first.wait_for()
    _settle(page)
    return page


def _print_computing(found: dict[str, dict[str, float]]) -> None:
    print(f"{'server alone, ms':<32}" + "".join(f"{look:>12}" for look in LOOKS))
    for tab, seconds in found.items():
        print(f"{tab:<32}" + "".join(f"{1000 * seconds[look]:>12,.0f}" for look in LOOKS))


def _report(tabs: list[tuple[str, float, float]], done: list[tuple[str, float]], memory: float) -> int:
    print(f"{'tab':<32}{'first paint':>12}{'whole':>8}")
    for what, first, whole in tabs:
        print(f"{what:<32}{first:>10.2f} s{whole:>6.2f} s")
    print(f"{'interaction':<32}{'answered':>12}")
    for what, seconds in done:
        print(f"{what:<32}{seconds:>10.2f} s")
    print(f"server memory {memory:.0f} MB (limit {MEMORY_MB})")
    slow = [what for what, first, _ in tabs if first > PAINT_SECONDS]
    slow += [what for what, seconds in done if seconds > INTERACTION_SECONDS]
    if memory > MEMORY_MB:
        slow.append("memory")
    print(f"beyond the limits: {', '.join(slow)}" if slow else "all within the limits")
    return 1 if slow else 0


def _settle(page: Page) -> None:
    """Wait until the server has sent all there is: a click reaches it a moment after it was made."""
    page.wait_for_timeout(50)
    # In the page, looked at with each frame: a locator's waits grow to half a second, which would count as ours.
    page.wait_for_function("() => document.querySelector('[data-test-script-state=notRunning]')")


def _rest(page: Page) -> None:
    """Wait until the browser has drawn all: charts are drawn after the server has sent what there is."""
    page.evaluate("() => new Promise(done => requestIdleCallback(() => requestIdleCallback(done)))")


def _await_server() -> None:
    import socket

    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the dashboard's server did not start")


def _env() -> dict[str, str]:
    paths = [str(PROJECT / "src"), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


if __name__ == "__main__":
    sys.exit(main())
