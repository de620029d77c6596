"""The morning in a real browser, on the server's page and on the dashboard, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.core.answers import plain
from agent.core.morning_text import answers_of
from agent.store.database.engine import Connections, open_engine, reading
from agent.store.morning import load_morning
from tests.browser.conftest import Dashboard
from tests.chrome import SLOW, needs_chrome
from tests.served import served

pytestmark = [pytest.mark.browser, needs_chrome]

QUESTIONS = [
    "Is it fresh?",
    "What changed since the last release?",
    "What would it trade now?",
    "How did yesterday go?",
    "Where was money made?",
]


def test_both_pages_answer_the_same(
    written: Path, database_url: str, serve: Callable[..., Dashboard], open_page: Callable[..., Any]
) -> None:
    from playwright.sync_api import expect

    engine = open_engine(database_url)
    with reading(engine) as conn:
        found = load_morning(Connections(conn, conn), datetime.now(UTC))
    engine.dispose()
    assert found is not None
    answers = answers_of(found)
    with served(written) as server:
        for url in (server.url, serve(written).url):
            page = open_page(url)
            cards = page.get_by_role("region", name="morning").get_by_role("article")
            expect(cards).to_have_count(5, timeout=SLOW)
            assert cards.get_by_role("heading").all_inner_texts() == QUESTIONS
            # The first one says how old the data are, which went on meanwhile.
            for card, answer in zip(cards.all()[1:], answers[1:], strict=True):
                for line in (answer.head, *answer.lines):
                    expect(card).to_contain_text(plain(line))
            expect(cards.nth(0)).to_contain_text("EDGE: in this history")
            expect(cards.nth(2)).to_contain_text("1 to enter")
            expect(cards.nth(2)).to_contain_text("BTC: buy at 61.0 %, needs 57.0 %")
            expect(cards.nth(3)).to_contain_text("Yesterday: 2 of 3 right, by the base rate 2")
            expect(cards.nth(4).get_by_role("img")).to_be_visible()


def test_it_refreshes_in_place(written: Path, open_page: Callable[..., Any]) -> None:
    """What is asked for again has the same nodes: nothing is added or removed."""
    with served(written) as server:
        page = open_page(server.url)
        count = "document.querySelectorAll('#morning *').length"
        before = page.evaluate(count)
        with page.expect_response("**/ui/morning"):
            page.evaluate("htmx.ajax('GET', '/ui/morning', {target: '#morning', swap: 'outerHTML'})")
        page.wait_for_function(f"{count} > 0")
        assert page.evaluate(count) == before > 20
