"""/trading: what the trader decided, sent, holds and is kept from, and what a person may ask of it. The server trades
nothing itself: it reads and writes rows, and the process that holds the account acts on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel

from agent.api.errors import CHANGES, CONFLICT, NOT_FOUND
from agent.api.models import Name, Utc
from agent.api.server import Limit, Server, ServerHere
from agent.api.strict import StrictRoute
from agent.api.trading_models import (
    Because,
    DecisionOut,
    EquityOut,
    FillOut,
    KillAsked,
    KillOut,
    LockDeleted,
    LockOut,
    OrderOut,
    PortfolioOut,
    ResetIn,
    SlippageOut,
    TradeOut,
    TraderMoved,
    TraderReset,
    TraderStatus,
)
from agent.store.database.engine import Connections, database_now, writing
from agent.store.trading import requests, showing
from agent.store.trading.deciding import plain_json
from agent.store.trading.showing import Wanted
from agent.trading import person
from agent.trading.drift import load_drift
from agent.trading.feeds.reading import read_costs
from pipelines.lake import Lake

router = APIRouter(route_class=StrictRoute, prefix="/trading", tags=["trading"])
PERSON = "a person over HTTP"
_M = TypeVar("_M", bound=BaseModel)
Row = dict[str, Any]
_Reader = Callable[[Any, Row, Wanted], Any]
_ALL = Wanted()

Account = Annotated[str, Query(min_length=1, max_length=64, description="The paper account.")]
Market = Annotated[Name | None, Query(description="Of this market alone: its id, its symbol, or a pair.")]
Since = Annotated[Utc | None, Query(description="From then on.")]
LockId = Annotated[int, Path(ge=1, le=2**31 - 1)]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="One for each change: the same again gives the first answer, and nothing is done.",
    ),
]


@router.get("/status", responses=NOT_FOUND)
async def status(server: ServerHere, account: Account = "main") -> TraderStatus:
    """How the trader stands, and why it opens nothing where it does not."""
    return TraderStatus.model_validate(await _read(server, account, lambda conn, its, _: showing.status(conn, its)))


@router.get("/portfolio", responses=NOT_FOUND)
async def portfolio(server: ServerHere, account: Account = "main", market: Market = None) -> PortfolioOut:
    """Cash, equity and what is held."""
    return PortfolioOut.model_validate(await _read(server, account, showing.portfolio, Wanted(market)))


@router.get("/decisions", responses=NOT_FOUND)
async def decisions(
    server: ServerHere,
    account: Account = "main",
    market: Market = None,
    since: Since = None,
    not_traded: Annotated[bool, Query(description="Only those of which no order came.")] = False,
    limit: Limit = 100,
) -> list[DecisionOut]:
    """Each market in each cycle, the newest first, and why no order came of it."""
    wanted = Wanted(market, since, limit)
    reader = partial(showing.decisions, not_traded=not_traded)
    return await _rows(server, account, DecisionOut, wanted, reader)


@router.get("/orders", responses=NOT_FOUND)
async def orders(
    server: ServerHere, account: Account = "main", market: Market = None, since: Since = None, limit: Limit = 1000
) -> list[OrderOut]:
    """Orders, the oldest first; of more than `limit` the newest."""
    wanted = Wanted(market, since, limit)
    return await _rows(server, account, OrderOut, wanted, partial(showing.listed, "orders"))


@router.get("/fills", responses=NOT_FOUND)
async def fills(
    server: ServerHere, account: Account = "main", market: Market = None, since: Since = None, limit: Limit = 1000
) -> list[FillOut]:
    """Executions, the oldest first; of more than `limit` the newest."""
    wanted = Wanted(market, since, limit)
    return await _rows(server, account, FillOut, wanted, partial(showing.listed, "fills"))


@router.get("/trades", responses=NOT_FOUND)
async def trades(
    server: ServerHere, account: Account = "main", market: Market = None, since: Since = None, limit: Limit = 1000
) -> list[TradeOut]:
    """Round trips that are over, the oldest first; of more than `limit` the newest."""
    wanted = Wanted(market, since, limit)
    return await _rows(server, account, TradeOut, wanted, partial(showing.listed, "trades"))


@router.get("/equity", responses=NOT_FOUND)
async def equity(
    server: ServerHere, account: Account = "main", since: Since = None, limit: Limit = 100
) -> list[EquityOut]:
    """What the account was worth, the newest first."""
    wanted = Wanted(since=since, limit=limit)
    return await _rows(server, account, EquityOut, wanted, showing.equity)


@router.get("/slippage", responses=NOT_FOUND)
async def slippage(
    server: ServerHere, account: Account = "main", market: Market = None, since: Since = None, limit: Limit = 1000
) -> SlippageOut:
    """What fills cost beside the mid of their decisions, and what the project's costs expect of that."""
    lake = Lake(server.settings.lake_path)

    def look(conn: Any, its: Row, wanted: Wanted) -> Row:
        return load_drift(conn, its, wanted, read_costs(conn, lake))

    return SlippageOut.model_validate(await _read(server, account, look, Wanted(market, since, limit)))


@router.get("/locks", responses=NOT_FOUND)
async def locks(
    server: ServerHere, account: Account = "main", market: Market = None, since: Since = None
) -> list[LockOut]:
    """What may not be opened for a while, and why."""
    return await _rows(server, account, LockOut, Wanted(market, since), partial(showing.locks, now=server.now()))


@router.get("/kill-switch", responses=NOT_FOUND)
async def kill_switch(server: ServerHere, account: Account = "main", since: Since = None) -> list[KillOut]:
    """Every time the kill switch fired, the newest first."""
    return await _rows(server, account, KillOut, Wanted(since=since), showing.kills)


@router.post("/pause", responses=CHANGES | NOT_FOUND | CONFLICT)
def pause(server: ServerHere, because: Because, key: Key, account: Account = "main") -> TraderMoved:
    """Open nothing new until resumed; what reduces a position goes on."""
    answer = _change(
        server, account, key, f"pause {because.reason}", lambda conn, its, _: person.pause(conn, its, because.reason)
    )
    return TraderMoved.model_validate(answer)


@router.post("/resume", responses=CHANGES | NOT_FOUND | CONFLICT)
def resume(server: ServerHere, key: Key, account: Account = "main") -> TraderMoved:
    """Take a person's pause back; other reasons stay."""
    return TraderMoved.model_validate(
        _change(server, account, key, "resume", lambda conn, its, _: person.resume(conn, its))
    )


@router.post("/kill-switch/trigger", responses=CHANGES | NOT_FOUND | CONFLICT)
def trigger(server: ServerHere, because: Because, key: Key, account: Account = "main") -> KillAsked:
    """Close everything: every trader of this project sends nothing else from now on."""
    home, reason = server.settings.home, because.reason
    answer = _change(server, account, key, f"trigger {reason}", lambda *_: person.trigger(home, reason, PERSON))
    return KillAsked.model_validate(answer)


@router.post("/kill-switch/reset", responses=CHANGES | NOT_FOUND | CONFLICT)
def reset(server: ServerHere, wanted: ResetIn, key: Key, account: Account = "main") -> TraderReset:
    """Let the account be traded again; gain, loss and peak are measured from then on."""

    def do(conn: Any, its: Row, now: datetime) -> Row:
        accepting = wanted.accept_open_positions
        return person.reset(conn, its, reason=wanted.reason, by=PERSON, now=now, accepting=accepting)

    what = f"reset {json.dumps(wanted.model_dump())}"
    return TraderReset.model_validate(_change(server, account, key, what, do))


@router.delete("/locks/{lock_id}", responses=CHANGES | NOT_FOUND | CONFLICT)
def delete_lock(server: ServerHere, lock_id: LockId, key: Key, account: Account = "main") -> LockDeleted:
    """End a lock now."""
    what = f"delete lock {lock_id}"
    return LockDeleted.model_validate(
        _change(server, account, key, what, lambda conn, its, _: person.delete_lock(conn, its, lock_id, PERSON))
    )


async def _read(server: Server, account: str, reader: _Reader, wanted: Wanted = _ALL) -> Any:
    """What `reader` makes of the project's tables, the account's row and what is wanted, as JSON has it."""

    def look(at: Connections) -> Any:
        agent = showing.agent_of(at.project, account)
        market = None if wanted.market is None else person.market_meant(at.project, agent, wanted.market)
        return reader(at.project, agent, replace(wanted, market=market))

    return plain_json(await server.read(look, is_long=True))


async def _rows(server: Server, account: str, kind: type[_M], wanted: Wanted, reader: _Reader) -> list[_M]:
    return [kind.model_validate(row) for row in await _read(server, account, reader, wanted)]


def _change(server: Server, account: str, key: str, what: str, do: Callable[[Any, Row, datetime], Row]) -> Row:
    """Carry a change out once for each key, in one transaction; returns its answer, or that of the first time."""
    with writing(server.database.project) as conn:
        its = showing.agent_of(conn, account)
        now = database_now(conn)
        answer, _ = requests.once(conn, key, f"{account}: {what}", now, lambda: do(conn, its, now))
    return answer
