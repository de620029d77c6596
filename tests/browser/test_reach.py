"""Who can use the pages: on a phone, without a network, with a screen reader; on both surfaces, in a real browser.

axe.min.js is axe-core 4.14.1 by Deque Systems (Mozilla Public License 2.0), as npm has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent.cli.main import main
from tests.browser.conftest import Dashboard
from tests.chrome import SLOW, needs_chrome
from tests.served import served

pytestmark = [pytest.mark.browser, needs_chrome]

AXE = (Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")
SERVER = (
    *("/", "/ui/runs", "/ui/runs/1", "/ui/runs/1/components/model", "/ui/release", "/ui/backtest"),
    *("/ui/components/model", "/ui/markets/sample:AAPL", "/ui/compare?before=current&after=current", "/ui/trading"),
    *("/ui/tries/wide", "/ui/compare?before=current&after=wide.1", "/ui/reference", "/login", "/no-such-page"),
)
REPORT = "/ui/release/report"  # a page of its own, without the server's scripts
DASHBOARD = (
    *("/", "/agent", "/component", "/runs", "/signals", "/markets", "/diagnostics", "/backtest", "/trading"),
    "/data",
)
# A widget whose script has not come, and a label after it, as Streamlit makes them; then the same with the height kept
# free, as of a chart.
COMING = """
document.querySelector("[data-testid=stMainBlockContainer] [data-testid=stVerticalBlock]").insertAdjacentHTML(
  "beforeend",
  ["", "stPrintGraphic"].map(kind => `<div id="coming${kind}"><div data-testid="stElementContainer" class="${kind}">` +
    `<div data-testid="stSkeleton"></div></div><p><label style="visibility: visible">text</label></p></div>`
  ).reverse().join(""));
"""
# Words of the graph that an arrow or another word touches. A box of a word is taller than its letters are.
TOUCHED = """
graph => {
  const words = [...graph.querySelectorAll(".textpoint tspan.line")].map(one => {
    const box = one.getBoundingClientRect();
    return {text: one.textContent, left: box.left, right: box.right, top: box.top + 3, bottom: box.bottom - 3};
  });
  const points = [...graph.querySelectorAll(".annotation-arrow-g path:first-child")].flatMap(path =>
    [...Array(101).keys()].map(step =>
      path.getPointAtLength(path.getTotalLength() * step / 100).matrixTransform(path.getScreenCTM())));
  const found = words.filter(word => points.some(point =>
    point.x > word.left && point.x < word.right && point.y > word.top && point.y < word.bottom));
  words.forEach((one, number) => found.push(...words.slice(number + 1).filter(other =>
    one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom)));
  return points.length ? found.map(word => word.text) : ["no arrow was found"];
}
"""
# Fields and buttons whose edge can hardly be told from what is around them: WCAG 2.2 asks for 3 : 1 (1.4.11).
UNSEEN = """
() => {
  const light = colour => {
    const part = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const [red, green, blue] = colour.match(/[0-9.]+/g).slice(0, 3).map(value => part(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const under = element => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" && element.parentElement ? under(element.parentElement) : colour;
  };
  return [...document.querySelectorAll("main :is(button, input:not([type=hidden], [type=checkbox]), select)")]
    .filter(one => {
      const both = [getComputedStyle(one).borderTopColor, under(one.parentElement)].map(light);
      return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05) < 3;
    }).map(one => one.outerHTML.slice(0, 80));
}
"""
# Cells of a card that say what they are of, and then nothing.
NAMED_ONLY = """
() => [...document.querySelectorAll("td:not(:first-child)")].filter(cell => {
  const before = getComputedStyle(cell, "::before").content.replace("none", "");
  return !cell.textContent.trim() && !cell.children.length && /[a-z]/i.test(before);
}).map(cell => cell.dataset.label)
"""
SHIFT = """
window.shifted = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


@pytest.fixture(params=["light", "dark"])
def phone(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page 390 px wide that notes which hosts it asks and how far its layout shifts."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        timezone_id="Europe/Berlin",
        bypass_csp=True,
        color_scheme=request.param,
    )
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.add_init_script(SHIFT)
    page.asked = set()
    context.on("request", lambda request: page.asked.add(urlsplit(request.url).hostname))
    yield page
    context.close()


def test_the_server_s_pages(traded: Path, phone: Any) -> None:
    with served(traded, WORKER_ENABLED="false") as server:
        found: list[str] = []
        for place in (*SERVER, REPORT):
            phone.goto(server.url + place)
            if place != REPORT:
                phone.wait_for_function("window.htmx !== undefined")
            found += _faults(phone, place, "h1" if place == REPORT else "nav[aria-label]")
            found += [f"{place}: hardly seen is {one}" for one in phone.evaluate(UNSEEN)] if place != REPORT else []
            shifted = phone.evaluate("window.shifted")
            found += [f"{place} shifts by {shifted:.2f}"] if shifted >= 0.1 else []
        assert found == []
        phone.goto(server.url)
        _is_card(phone, "table.signals", ("P(up)", "Net edge", "Action"))


def test_nothing_moves_on_a_desk(serve: Callable[..., Dashboard], traded: Path, browser: Any) -> None:
    board = serve(traded)
    found = []
    for place in DASHBOARD:
        context = browser.new_context(viewport={"width": 1440, "height": 1000}, timezone_id="Europe/Berlin")
        page = context.new_page()
        page.set_default_timeout(SLOW)
        page.add_init_script(SHIFT)
        page.goto(board.url + place)
        found += _moved(page, place)
        context.close()
    assert found == []


def test_the_dashboard(serve: Callable[..., Dashboard], traded: Path, phone: Any) -> None:
    assert main(["--project-dir", str(traded), "mark-dirty", "model", "--reason", "its word is the longest"]) == 0
    board = serve(traded)
    found: list[str] = []
    for place in DASHBOARD:
        phone.goto(board.url + place)
        found += _moved(phone, place)
        found += _faults(phone, place, "[data-testid=stExpandSidebarButton]")
    assert found == []
    phone.goto(board.url)
    words = phone.locator(".st-key-graph text", has_text="maybe stale")
    words.last.wait_for()
    ends = words.evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
    room = phone.locator(".st-key-graph svg.main-svg").first.bounding_box()
    assert max(ends) <= room["x"] + room["width"], "a word of the graph is cut off"
    assert phone.locator(".st-key-graph").evaluate(TOUCHED) == []
    phone.goto(f"{board.url}/signals")
    _is_card(phone, "table[aria-label=signals]", ("Probability", "Net edge", "Decision"))
    # Nothing moves when a widget's script arrives: what follows is seen from then on.
    phone.evaluate(COMING)
    seen = 'element => getComputedStyle(element.querySelector("label")).visibility'
    assert phone.locator("#coming").evaluate(seen) == "hidden"
    assert phone.locator("#comingstPrintGraphic").evaluate(seen) == "visible"


def _moved(page: Any, place: str) -> list[str]:
    """Open the page whole; whether its layout shifted meanwhile beyond what web.dev calls good."""
    page.get_by_role("heading", level=1).first.wait_for(state="attached")
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
    page.evaluate("() => new Promise(done => requestIdleCallback(() => requestAnimationFrame(done)))")
    shifted = page.evaluate("window.shifted")
    return [f"{place} shifts by {shifted:.2f}"] if shifted >= 0.1 else []


def _faults(page: Any, place: str, navigation: str) -> list[str]:
    found = []
    if page.evaluate("document.documentElement.scrollWidth") > 390:
        found.append("scrolls sideways")
    if not page.locator(navigation).first.is_visible():
        found.append("its navigation is not seen")
    if empty := page.evaluate(NAMED_ONLY):
        found.append(f"names cells that are empty: {empty[:3]}")
    if not page.asked <= {"127.0.0.1"}:
        found.append(f"asks others: {page.asked}")
    axe = page.evaluate(f"{AXE}; axe.run(document, {{resultTypes: ['violations']}})")
    found += [
        f"{one['id']}: {[node['target'] for node in one['nodes']][:4]}"
        for one in axe["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    return [f"{place} {one}" for one in found]


def _is_card(page: Any, table: str, names: tuple[str, ...]) -> None:
    """The first row: the market on one line, and the cells that matter beside each other on the next."""
    row = page.locator(f"{table} tbody tr").first
    row.wait_for()
    # All at one moment: the page may still move while its other parts are drawn.
    first, *boxes = row.evaluate(
        """(row, names) => ["td", ...names.map(name => `td[data-label="${name}"]`)]
            .map(cell => row.querySelector(cell).getBoundingClientRect().toJSON())""",
        list(names),
    )
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert len({round(box["y"]) for box in boxes}) == 1, "on one line"
    assert boxes[0]["y"] > first["y"]
    assert row.bounding_box()["height"] < 80
