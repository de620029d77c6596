"""What the page of a trader lets be asked, and of whom: forms carry the session's token, and a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.store.database.engine import Database, open_engine
from agent.store.trading import account
from tests.integration.api.conftest import MakeClient
from tests.paper import HOUR, MARKET, START, MovedClock, account_at_work, feed_of, trader


def test_it_leads_nowhere_before_the_first_trader(make_client: MakeClient) -> None:
    client = make_client()
    assert "/ui/trading" not in client.get("/").text
    text = client.get("/ui/trading").text
    assert "Nobody trades here" in text
    assert "Close everything" not in text


def test_a_replay_that_is_over_has_nothing_to_pause(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    engine = open_engine(f"sqlite:///{tmp_path / '.tidemill' / 'state.sqlite'}")
    database = Database(engine, engine)
    account_at_work(database)
    clock, name = MovedClock(START + HOUR), account.replay_name(START)
    with trader(database, feed_of({MARKET: [96.0] * 5}, {}), clock, account_ref=name) as trades:
        trades.recover()
        during = re.findall(r'aria-label="Steer (\S+)', client.get("/ui/trading").text)
    engine.dispose()
    assert during == ["main", name]
    text = client.get("/ui/trading").text
    assert re.findall(r'aria-label="Steer (\S+)', text) == ["main"]
    assert f"State of {name} (paper)" in text


@pytest.mark.parametrize("action", ["close-all", "pause", "resume"])
def test_a_form_without_its_token_stops_nothing(make_client: MakeClient, tmp_path: Path, action: str) -> None:
    client = make_client()
    client.get("/ui/trading")
    given = {"reason": "mischief", "agent_id": "1", "csrf": "0" * 64}
    assert client.post(f"/ui/trading/{action}", data=given).status_code == 403
    assert not (tmp_path / ".tidemill" / "KILL").exists()


@pytest.mark.parametrize(
    ("action", "fields", "status"),
    [
        ("close-all", {"reason": " "}, 422),
        ("pause", {"reason": "", "agent_id": "1"}, 422),
        ("pause", {"reason": "lunch", "agent_id": "7"}, 404),
        ("resume", {"agent_id": "7"}, 404),
        ("pause", {"reason": "lunch", "agent_id": "١"}, 422),
        ("pause", {"reason": "lunch"}, 422),
        ("start", {"agent_id": "1"}, 404),
        ("pause", {"reason": "<b>lunch</b>", "agent_id": "1"}, 303),
        ("close-all", {"reason": "enough"}, 303),
    ],
)
def test_bad_forms_are_answered_and_good_ones_done(
    make_client: MakeClient, tmp_path: Path, action: str, fields: dict[str, str], status: int
) -> None:
    client = make_client()
    engine = open_engine(f"sqlite:///{tmp_path / '.tidemill' / 'state.sqlite'}")
    account_at_work(Database(engine, engine))
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/ui/trading").text)
    assert found
    answer = client.post(f"/ui/trading/{action}", data={**fields, "csrf": found[1]})
    assert answer.status_code == status
    assert (tmp_path / ".tidemill" / "KILL").exists() == (action == "close-all" and status == 303)
    with engine.connect() as conn:
        state = account.load(conn, 1)["trading_state"]
    engine.dispose()
    assert (state == "paused") == (action == "pause" and status == 303)
    shown = client.get("/ui/trading").text
    assert "<b>lunch" not in shown
    assert 'href="/ui/trading" aria-current="page"' in shown
