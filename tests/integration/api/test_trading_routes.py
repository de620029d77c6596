"""/trading: the same JSON as the commands, changes that are carried out once for each key, on both databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.store.database.engine import Database, open_engine
from agent.trading.run import run
from tests.integration.api.conftest import MakeClient
from tests.paper import MARKET, MovedClock, cycles, feed_of, trader

if TYPE_CHECKING:
    from tests.asgi import TestClient

READS = {
    "portfolio": ("portfolio",),
    "decisions": ("decisions",),
    "decisions?not_traded=true&market=BTCUSD": ("decisions", "--why-not", "BTCUSD"),
    "decisions?limit=2": ("decisions", "--limit", "2"),
    "orders": ("orders",),
    f"orders?market={MARKET}": ("orders", "--market", MARKET),
    "orders?market=btc/usd": ("orders", "--market", "btc/usd"),
    "portfolio?market=BTCUSD": ("portfolio", "--market", "BTCUSD"),
    "fills": ("fills",),
    "trades": ("trades",),
    "trades?since=2026-01-30T01:30:00Z": ("trades", "--since", "2026-01-30T01:30"),
    "equity": ("equity",),
    "equity?limit=3": ("equity", "--limit", "3"),
    "slippage": ("slippage",),
    f"slippage?market={MARKET}&since=2026-01-30T01:30:00Z": (
        *("slippage", "--market", MARKET),
        *("--since", "2026-01-30T01:30"),
    ),
    "locks": ("locks",),
    "kill-switch": ("kill-switch",),
}


def trade(url: str, home: Path | None = None) -> None:
    """Buy, sell and be refused; with `home` the kill switch, whose file lies there, then closes all."""
    engine, clock = open_engine(url), MovedClock()
    feed = feed_of({MARKET: [100.0, 100.0, 110.0, 120.0, 130.0, 140.0]}, {MARKET: {0: 1, 4: 1}}, confidence=0.6)
    with trader(Database(engine, engine), feed, clock) as one:
        one.recover()
        cycles(one, clock, range(4))
    with trader(Database(engine, engine), feed, clock, min_confidence_threshold=0.7, home=home) as one:
        one.recover()
        cycles(one, clock, (4,))
        if home is not None:
            (home / "KILL").write_text("me: enough\n", encoding="utf-8")
            assert run(one, wait=lambda _: False, told=lambda _: None, most_cycles=1) == 1
    engine.dispose()


def changed(client: TestClient, address: str, key: str | None = "a", code: int = 200, **body: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    method, path = address.split(" ")
    reply = client.request(method, f"/trading/{path}", headers=headers, json=body or None)
    assert reply.status_code == code, reply.text
    return reply.json()


@pytest.fixture
def client(make_client: MakeClient, database_url: str) -> TestClient:
    """A server on a database of either kind in which was traded."""
    made = make_client(AGENT_DATABASE_URL=database_url)
    trade(database_url)
    return made


def test_an_answer_is_what_the_command_prints(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent.cli.main import main

    monkeypatch.chdir(tmp_path)
    filled = set()
    for address, arguments in READS.items():
        capsys.readouterr()
        assert main((*arguments, "--json")) == 0
        printed = json.loads(capsys.readouterr().out)
        reply = client.get(f"/trading/{address}")
        assert (reply.status_code, reply.json()) == (200, printed), address
        filled |= {address} if printed else set()
    assert set(READS) - filled == {"kill-switch"}


def test_a_market_that_nobody_knows_is_not_one_without_rows(client: TestClient) -> None:
    for name in ("portfolio", "decisions", "orders", "fills", "trades", "locks"):
        reply = client.get(f"/trading/{name}?market=BTCEUR")
        assert reply.status_code == 404, name
        assert reply.json()["detail"] == "'BTCEUR' names no market here"
        assert MARKET in reply.json()["fix"]


def test_all_fills_are_summed_although_the_newest_alone_are_listed(client: TestClient) -> None:
    found = client.get("/trading/slippage?limit=1").json()
    assert (found["total"]["fills"], [one["side"] for one in found["fills"]]) == (2, ["sell"])


def test_the_status_says_why_nothing_is_opened(client: TestClient) -> None:
    assert client.get("/trading/status").json()["trading_state"] == "active"
    assert changed(client, "POST pause", reason="lunch") == {"trading_state": "paused"}
    found = client.get("/trading/status").json()
    assert (found["reasons"], found["is_running"], found["kill"]) == ({"person": "lunch"}, False, None)
    assert found["wanted_state"] == "paused"


def test_a_change_is_carried_out_once_for_each_key(client: TestClient) -> None:
    changed(client, "POST pause", "one", reason="lunch")
    assert changed(client, "POST resume", "two") == {"trading_state": "active"}
    assert changed(client, "POST pause", "one", reason="lunch") == {"trading_state": "paused"}  # the answer of then
    assert client.get("/trading/status").json()["trading_state"] == "active"
    refused = changed(client, "POST pause", "two", 409, reason="lunch")
    assert refused["where"] == "Idempotency-Key"
    assert "something else" in refused["detail"]
    assert "Idempotency-Key" in changed(client, "POST resume", None, 422)["detail"]


def test_what_was_refused_may_be_asked_for_again_with_its_key(client: TestClient) -> None:
    assert "has not fired" in changed(client, "POST kill-switch/reset", "k", 409, reason="x")["detail"]
    assert "has not fired" in changed(client, "POST kill-switch/reset", "k", 409, reason="x")["detail"]
    assert "no lock 99 stands" in changed(client, "DELETE locks/99", "l", 404)["detail"]


def test_a_lock_is_ended_once(client: TestClient) -> None:
    (lock,) = client.get("/trading/locks").json()
    assert changed(client, f"DELETE locks/{lock['id']}", "a") == {"deleted": lock["id"]}
    assert client.get("/trading/locks").json() == []
    assert changed(client, f"DELETE locks/{lock['id']}", "a") == {"deleted": lock["id"]}
    changed(client, f"DELETE locks/{lock['id']}", "b", 404)


def test_a_trigger_leaves_the_file_that_the_trader_obeys_once(client: TestClient, tmp_path: Path) -> None:
    assert changed(client, "POST kill-switch/trigger", "a", reason="enough") == {"triggered": True}
    file = tmp_path / ".tidemill" / "KILL"
    assert file.read_text(encoding="utf-8").endswith(": enough\n")
    file.unlink()
    assert changed(client, "POST kill-switch/trigger", "a", reason="enough") == {"triggered": True}
    assert not file.exists()


def test_a_switch_that_fired_is_reset_and_not_twice_by_one_key(
    make_client: MakeClient, database_url: str, tmp_path: Path
) -> None:
    client = make_client(AGENT_DATABASE_URL=database_url)
    home = tmp_path / "trader"
    home.mkdir()
    trade(database_url, home)
    (kill,) = client.get("/trading/kill-switch").json()
    assert (kill["state"], kill["cause"]) == ("flat", ["KILL_FILE"])
    assert client.get("/trading/status").json()["kill"] == "flat"
    answer = changed(client, "POST kill-switch/reset", "r", reason="seen")
    assert answer["trading_state"] == "active"
    assert changed(client, "POST kill-switch/reset", "r", reason="seen") == answer
    assert [one["reset_by"] for one in client.get("/trading/kill-switch").json()] == ["a person over HTTP"]


def test_who_never_traded_is_told_so(make_client: MakeClient) -> None:
    client = make_client()
    for name in ("status", *READS):
        reply = client.get(f"/trading/{name}")
        assert reply.status_code == 404
        assert reply.json()["detail"] == "nobody has traded account main here"


def test_changes_and_reads_need_the_token(make_client: MakeClient) -> None:
    client = make_client(AGENT_API_TOKEN="a" * 20)
    assert client.get("/trading/portfolio").status_code == 401
    changed(client, "POST pause", "a", 401, reason="x")
