"""A market is named to a command as people name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.main import main
from agent.store.database.engine import Database, open_engine
from agent.store.outputs.projections import upsert_markets
from agent.store.trading import account, deciding, showing
from agent.store.trading.showing import Wanted
from agent.trading.person import market_meant
from tests.paper import HOUR, MARKET, START, account_at_work
from tests.typed import facts, typed

NAMED = ["BTCUSD", "btc/usd", "BTC-USD", MARKET]  # by its pair, as it was typed, its symbol and its id


@pytest.mark.parametrize("name", NAMED)
def test_a_market_is_named_as_people_name_it(traded: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    for command, count in (
        ("decisions", 5),
        ("orders", 2),
        ("fills", 2),
        ("trades", 1),
        ("locks", 1),
        ("reconcile", 0),
    ):
        assert len(facts(capsys, command, "--market", name)) == count, command
    assert len(facts(capsys, "decisions", "--why-not", name)) == 3
    assert facts(capsys, "portfolio", "--market", name)["positions"] == []


@pytest.mark.parametrize(
    "command", ["decisions", "orders", "fills", "trades", "locks", "reconcile", "portfolio", "slippage"]
)
def test_a_market_that_nobody_knows_is_not_one_without_rows(
    traded: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    refused = typed(capsys, command, "--market", "BTCEUR", code=2)[1]
    assert "'BTCEUR' names no market here" in refused
    assert f"there is {MARKET}" in refused


def test_a_market_of_several_sources_is_the_one_that_is_traded(
    traded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_engine(f"sqlite:///{traded / '.tidemill' / 'state.sqlite'}")
    names = [("kraken", "BTC-USD"), ("kraken", "ETH-USD"), ("binance", "ETH-USD")]
    rows = [
        {"market_id": f"{source}:{name}", "source": source, "external_id": name, "kind": "spot", "status": "open"}
        | {"symbol": f"{name[:3]} coin"}
        for source, name in names
    ]
    with engine.begin() as conn:
        upsert_markets(conn, rows, START)
    engine.dispose()
    assert len(facts(capsys, "orders", "--market", "BTCUSD")) == 2
    assert facts(capsys, "orders", "--market", "kraken:BTC-USD") == []
    assert facts(capsys, "orders", "--market", "BTC coin") == []
    several = typed(capsys, "orders", "--market", "ETHUSD", code=2)[1]
    assert "'ETHUSD' names 2 markets" in several
    assert "write its id: binance:ETH-USD, kraken:ETH-USD" in several


def test_a_lock_of_every_market_is_one_of_each(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = open_engine(f"sqlite:///{traded / '.tidemill' / 'state.sqlite'}")
    made = {"market": "*", "side": "*", "rule": "day_loss", "why": "enough", "now": START}
    with engine.begin() as conn:
        deciding.add_lock(conn, 1, until=START + 24 * HOUR, **made)
    engine.dispose()
    assert [one["market_id"] for one in facts(capsys, "locks", "--market", "BTCUSD")] == [MARKET, "*"]


def test_the_portfolio_lists_one_market_and_has_no_past(tmp_path: Path, database: Database) -> None:
    its = account_at_work(database)
    with database.reading() as connections:
        agent = account.load(connections.project, its)
        whole = showing.portfolio(connections.project, agent)
        one = showing.portfolio(connections.project, agent, Wanted(market_meant(connections.project, agent, "BTCUSD")))
        none = showing.portfolio(connections.project, agent, Wanted("test:ETH-USD"))
    assert [row["market_id"] for row in one["positions"]] == [MARKET]
    assert one["positions"] == whole["positions"]
    assert (none["positions"], none["equity"]) == ([], whole["equity"])


@pytest.mark.parametrize("arguments", [("portfolio", "--since", "2026-01-31"), ("equity", "--market", "BTCUSD")])
def test_what_cannot_be_chosen_there_is_refused(
    traded: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "unrecognized arguments: " + arguments[1] in capsys.readouterr().err
