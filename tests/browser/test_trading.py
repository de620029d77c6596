"""A trader in a real browser on both surfaces and both databases: the figures are those of the rows, what stops
something asks for a reason, and without a trader there is no such page to be found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.store.database.engine import Database, open_engine
from agent.store.trading import account, booking, deciding
from agent.store.trading import orders as order_rows
from tests.browser.conftest import Dashboard
from tests.chrome import SLOW, needs_chrome
from tests.paper import account_at_work
from tests.served import served

pytestmark = [pytest.mark.browser, needs_chrome]


def test_the_figures_are_those_of_the_rows_and_a_person_can_stop_it(
    written: Path, database_url: str, serve: Callable[..., Dashboard], open_page: Callable[..., Any]
) -> None:
    from playwright.sync_api import expect

    engine = open_engine(database_url)
    try:
        database = Database(engine, engine)
        with served(written) as server:
            urls = (server.url, serve(written).url)
            for url in urls:
                page = open_page(url)
                expect(page.get_by_role("link", name="Backtest", exact=True)).to_be_visible(timeout=SLOW)
                expect(page.get_by_role("link", name="Trading", exact=True)).to_have_count(0)
            agent = account_at_work(database)
            for url in urls:
                page = open_page(url)
                page.get_by_role("link", name="Trading", exact=True).click()
                state = page.get_by_label(re.compile("state of main", re.I)).first
                expect(state).to_contain_text("Not running: nothing keeps it from trading", timeout=SLOW)
                _agrees(page, state, database, agent)
                _pauses(page, state, database, agent)
            _kills(page, written)
            page = open_page(f"{server.url}/ui/trading")
            expect(page.get_by_label("State of main (paper)")).to_contain_text("a person at the dashboard: enough")
    finally:
        engine.dispose()


def test_the_server_s_button_asks_for_a_reason(written: Path, database_url: str, open_page: Callable[..., Any]) -> None:
    from playwright.sync_api import expect

    engine = open_engine(database_url)
    account_at_work(Database(engine, engine))
    engine.dispose()
    with served(written) as server:
        page = open_page(f"{server.url}/ui/trading")
        _kills(page, written)
        expect(page.get_by_label("State of main (paper)")).to_contain_text("a person on the page: enough")


def test_who_only_looks_sees_it_all_and_stops_nothing(
    written: Path, database_url: str, serve: Callable[..., Dashboard], open_page: Callable[..., Any]
) -> None:
    from playwright.sync_api import expect

    engine = open_engine(database_url)
    account_at_work(Database(engine, engine))
    engine.dispose()
    with (written / "agent.toml").open("a", encoding="utf-8") as file:
        file.write("[dashboard]\nread_only = true\n")
    page = open_page(f"{serve(written, AGENT_DASHBOARD_PASSWORD='tide').url}/trading")
    page.get_by_label("Password", exact=True).fill("tide")
    expect(page.get_by_label(re.compile("state of main", re.I))).to_have_count(0)
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_label(re.compile("state of main", re.I)).first).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("table", name="limits")).to_be_visible(timeout=SLOW)
    page.locator("[data-test-script-state=notRunning]").wait_for()
    expect(page.get_by_role("button", name=re.compile("Pause|Resume|Close everything"))).to_have_count(0)
    expect(page.get_by_role("textbox")).to_have_count(0)


def _agrees(page: Any, state: Any, database: Database, agent: int) -> None:
    """What is on screen is what SQL says."""
    from playwright.sync_api import expect

    with database.reading() as connections:
        conn = connections.project
        row, newest = account.load(conn, agent), booking.newest_equity(conn, agent)
        held = [one for one in booking.positions_of(conn, agent) if one["quantity"]]
        flying = order_rows.of_agent(conn, agent, {"open", "unknown", "sending", "partial", "prepared", "cancelling"})
        rules = Counter(rule for _, _, rule, _ in deciding.outcomes_of(conn, agent))
    assert newest is not None
    assert rules["confidence"] == 1
    for value in (newest["equity"], newest["cash"], newest["position_value"], row["peak_equity"]):
        expect(state).to_contain_text(f"{value:,.2f}")
    level = row["initial_equity"] * (1 - Decimal("0.02"))
    left = newest["equity"] - level
    limits = _rows(page, "limits")
    assert limits[0] == [
        "Loss 2.00 %",
        f"{level:,.2f}",
        f"loses {left:,.2f} more ({100 * left / newest['equity']:.2f} %) → closes all",
    ]
    assert len(limits) == 3
    positions = _rows(page, "positions")
    mark = newest["marks"][held[0]["market_id"]]
    assert [one[:4] for one in positions] == [
        [held[0]["market_id"], f"{held[0]['quantity']:f}", f"{held[0]['average_price']:f}", mark["price"]]
    ]
    days = (datetime.now(UTC) - datetime.fromisoformat(mark["ts"])).days
    assert re.search(rf", ({days}|{days + 1}) days ago \(quote\)", positions[0][4])
    assert [(one[0], one[5]) for one in _rows(page, "open and unknown orders")] == [
        (one["market_id"], one["status"]) for one in flying
    ]
    refused = _rows(page, "refusals on 2026-01-30 (utc)")
    assert {one[0]: int(one[1]) for one in refused} == {rule.replace("_", " "): n for rule, n in rules.items() if rule}
    assert any(one[4].startswith("confidence: ") for one in _rows(page, "why the last cycle did not trade"))
    expect(page.get_by_label("Equity, its peak").or_(page.get_by_alt_text("Equity, its peak")).first).to_be_visible()


def _pauses(page: Any, state: Any, database: Database, agent: int) -> None:
    from playwright.sync_api import expect

    page.get_by_label("Why pause").fill("lunch")
    page.get_by_role("button", name="Pause").click()
    expect(state).to_contain_text("Paused: lunch; no trader runs", timeout=SLOW)
    page.get_by_label("Why resume").fill("fed")
    page.get_by_role("button", name="Resume").click()
    expect(state).to_contain_text(": fed", timeout=SLOW)
    expect(state).to_contain_text("Not running: nothing keeps it from trading", timeout=SLOW)
    with database.reading() as connections:
        assert account.load(connections.project, agent)["trading_state"] == "active"


def _kills(page: Any, folder: Path) -> None:
    """Without a reason nothing is written; with one it is."""
    from playwright.sync_api import expect

    file = folder / ".tidemill" / "KILL"
    red = page.get_by_role("button", name="Close everything")
    red.click(timeout=SLOW)
    field = page.get_by_label("Why close everything")
    is_server = page.locator("header nav[aria-label=Pages]").count() > 0
    if is_server:
        assert field.evaluate("field => field.validity.valueMissing")
    else:
        expect(page.get_by_text("it needs a reason")).to_be_visible(timeout=SLOW)
    assert not file.exists()
    field.fill("enough")
    red.click()
    expect(page.get_by_text(": enough), which the trader does when it is started").first).to_be_visible(timeout=SLOW)
    assert file.read_text(encoding="utf-8").endswith(": enough\n")


def _rows(page: Any, name: str) -> list[list[str]]:
    table = page.get_by_role("table", name=name, exact=True)
    table.wait_for(timeout=SLOW)
    read = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent.trim().replaceAll('\\xa0', ' ')))"
    found: list[list[str]] = table.locator("tbody tr").evaluate_all(read)
    return found
