"""What a person may ask of a trader, by a command or over HTTP: pause, resume, the kill switch, the end of a lock or of
its books, and a word on what books and platform differ about; and which market they mean. Each call is part of the
caller's transaction and returns its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.amounts import figure_text, plain
from agent.errors import Conflict, NotFound, UsageError
from agent.store.outputs import projections
from agent.store.trading import account, booking, deciding, orders, switch
from agent.trading.kill_switch import KILL_SWITCH, KillEvent, KillState
from agent.trading.pairs import markets_named, near_to
from agent.trading.reconcile.facts import ACCEPTABLE, LOOKED_AT, NEW_BOOKS
from agent.trading.states.machine import step
from agent.trading.states.orders import IN_FLIGHT, OrderState
from agent.trading.states.permissions import Reason
from agent.trading.states.positions import PositionState
from agent.trading.steps.desk import KILL_FILE, state_by

Row = dict[str, Any]
_GOES_ON = "start the trader (agent run-agent), which closes what is left, then agent kill-switch reset --reason TEXT"
_AFTER_A_KILL = dict.fromkeys(KillState, _GOES_ON) | {KillState.FLAT: "agent kill-switch reset --reason TEXT"}
_RESTING = (OrderState.OPEN, OrderState.PARTIAL)
_ENDS_WHAT_RESTS = "agent kill-switch trigger --reason TEXT and a start (agent run-agent) cancel what rests"
_ASKS = "a start (agent run-agent --once) asks the platform what became of the order"
_CLOSES = "agent run-agent --once --on-exit close sends what closes it"
_SHOWN = 5  # markets in a message


def market_meant(conn: Any, agent: Row, name: str) -> str:
    """The id of the market that `name` means: an id, a symbol, or a pair as it is typed for a trader. Those that this
    trader trades or traded go before all others that are listed. Raises NotFound, or UsageError where it may mean
    several."""
    if deciding.has_decided(conn, agent["id"], name):
        return name
    ours: dict[str, tuple[str, ...]] = {row["market_id"]: () for row in booking.positions_of(conn, agent["id"])}
    ours |= {one: (pair,) for one, pair in deciding.pairs_since(conn, agent["id"], agent["cycle"] - 1).items()}
    listed = projections.names_of_markets(conn)
    meant = markets_named(name, ours) or markets_named(name, listed)
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UsageError(
            f"{name!r} names {len(meant)} markets", where="market", fix=f"write its id: {', '.join(meant[:_SHOWN])}"
        )
    near = ", ".join(near_to(name, {**listed, **ours}))
    raise NotFound(
        f"{name!r} names no market here",
        where="market",
        fix=f"there is {near}; `agent signals` lists all" if near else "leave it out: no market is known yet",
    )


def said(reason: str) -> str:
    """A reason on one line. Raises UsageError where none is given."""
    text = " ".join(reason.split())
    if not text:
        raise UsageError("it needs a reason", where="reason", fix="say why, for those who look later")
    return text


def pause(conn: Any, agent: Row, reason: str) -> Row:
    """Nothing new is opened until `resume`. Raises UsageError without a reason."""
    _require_open(agent)
    return {"trading_state": account.pause(conn, agent["id"], said(reason), state_by)}


def resume(conn: Any, agent: Row, words: str | None = None) -> Row:
    """Take away what a person, or their own monitoring, held back, and no other reason; `words` say why, until the next
    pause."""
    _require_open(agent)
    return {"trading_state": account.resume(conn, agent["id"], state_by, words)}


def delete_lock(conn: Any, agent: Row, lock_id: int, by: str) -> Row:
    """End a lock now. Raises NotFound."""
    _require_open(agent)
    if not deciding.delete_lock(conn, agent["id"], lock_id, by):
        raise NotFound(f"no lock {lock_id} stands", where="locks", fix="`agent locks` lists them")
    return {"deleted": lock_id}


def accept(conn: Any, agent: Row, ids: Sequence[str], by: str, now: datetime) -> Row:
    """Let the platform be right about differences that block: the next start books its positions; of those that are
    booked, say that somebody looked, and let the trader go on. Raises NotFound and Conflict; then none is accepted."""
    _require_open(agent)
    known = {one["id"]: one for one in booking.discrepancies_of(conn, agent["id"])}
    for one in ids:
        if one not in known:
            raise NotFound(f"there is no difference {one}", where="discrepancies", fix="`agent reconcile` lists them")
        kind, resolution = known[one]["kind"], known[one]["resolution"]
        if kind in LOOKED_AT and resolution != "by_person":
            continue
        if resolution != "blocking":
            raise Conflict(f"{kind} {one} does not block: {resolution}", where="discrepancies", fix="leave it out")
        if kind not in ACCEPTABLE:
            raise Conflict(
                f"{kind} {one} cannot be accepted: it does not say what to book",
                where="discrepancies",
                fix="new books: agent reconcile --adopt; else put it right on the platform, and start again",
            )
    return {"accepted": list(ids), "trading_state": _decided(conn, agent, known, ids, f"accepted by {by}", now)}


def adopt(conn: Any, agent: Row, by: str, now: datetime) -> Row:
    """Let the next start take over what an account had before its books began, as it was listed: what changed since is
    listed again. Raises Conflict where nothing is listed."""
    _require_open(agent)
    known = {one["id"]: one for one in booking.discrepancies_of(conn, agent["id"])}
    ids = [its for its, one in known.items() if (one["kind"], one["resolution"]) == (NEW_BOOKS, "blocking")]
    if not ids:
        raise Conflict(
            "nothing waits to be adopted",
            where="discrepancies",
            fix="start the trader: where its books are new and the account has something, that is listed",
        )
    return {"adopted": ids, "trading_state": _decided(conn, agent, known, ids, f"to be adopted, said {by}", now)}


def _decided(conn: Any, agent: Row, known: Mapping[str, Row], ids: Sequence[str], words: str, now: datetime) -> str:
    """Write a person's word down; returns the trading state that follows where nothing else blocks."""
    for one in ids:
        said = known[one]["note"]
        booking.accept(conn, agent["id"], one, words + (f"; {said}" if said else ""), now)
    rest = [row for row in known.values() if row["resolution"] != "by_person" and row["id"] not in ids]
    gone = [kind for kind in LOOKED_AT if all(row["kind"] != kind for row in rest)]
    if all(row["resolution"] != "blocking" for row in rest):
        gone.append(Reason.MISMATCH)
    state = str(agent["trading_state"])
    for reason in gone:
        state = account.set_reason(conn, agent["id"], str(reason), None, state_by)
    return state


def trigger(home: Path, reason: str, by: str) -> Row:
    """Leave the file that the trader looks for before each order and in each cycle. Raises UsageError without a
    reason."""
    text = f"{by}: {said(reason)}\n"
    home.mkdir(parents=True, exist_ok=True)
    (home / KILL_FILE).write_text(text, encoding="utf-8")
    return {"triggered": True}


def reset(conn: Any, agent: Row, *, reason: str, by: str, now: datetime, accepting: bool = False) -> Row:
    """Let the account be traded again; gain, loss and peak are measured from then on. accepting: although something is
    left open. Raises Conflict where it has not fired, or not everything is closed."""
    _require_open(agent)
    kill = account.standing_kill(conn, agent["platform"], agent["account_ref"])
    if kill is None:
        raise Conflict("the kill switch has not fired", where="kill_switch", fix="there is nothing to reset")
    held = [one["market_id"] for one in booking.positions_of(conn, agent["id"]) if one["quantity"]]
    event = KillEvent.RESET_ACCEPTING if accepting else KillEvent.RESET
    state = KillState(kill["state"])
    if state not in (KillState.FLAT, KillState.STUCK) or step(KILL_SWITCH, state, event).state != KillState.ARMED:
        raise Conflict(
            f"the kill switch is {state}, not everything is closed: {', '.join(held) or 'orders are left'}",
            where="kill_switch",
            fix="start the trader, which closes what is left; when it is stuck: --accept-open-positions",
        )
    switch.reset(conn, kill["id"], by, reason, now)
    newest = booking.newest_equity(conn, agent["id"])
    equity = agent["initial_equity"] if newest is None else newest["equity"]
    measured = {"initial_equity": equity, "armed_at": now, "peak_equity": equity, "peak_at": now}
    account.update(conn, agent["id"], **measured)
    state_now = account.set_reason(conn, agent["id"], str(Reason.KILL), None, state_by)
    return {"trading_state": state_now, "equity": plain(equity)}


def retire(conn: Any, agent: Row, *, reason: str, by: str, owner: str) -> Row:
    """End the books of an account: the next start begins new ones, and measures gain, loss and peak from what it has
    then. owner: this process. Raises UsageError without a reason, Busy where a process trades the account, and Conflict
    that says what stands in the way and how to end it."""
    _require_open(agent)
    words = f"retired by {by}: {said(reason)}"
    now = account.fence(conn, agent["id"], owner)
    found = _left(conn, agent)
    if found:
        raise Conflict(
            f"account {agent['account_ref']} cannot be retired: {'; '.join(what for what, _ in found)}",
            where="agents.ended_at",
            fix="; ".join(dict.fromkeys(fix for _, fix in found)),
        )
    account.set_reason(conn, agent["id"], str(Reason.RETIRED), words, state_by)
    account.update(conn, agent["id"], ended_at=now, wanted_state="stopped")
    return {"retired": agent["account_ref"], "platform": agent["platform"], "ended_at": now.isoformat()}


def _left(conn: Any, agent: Row) -> list[tuple[str, str]]:
    """What keeps an account from being retired, and what ends it. What is too small to sell is nothing."""
    found = []
    kill = account.standing_kill(conn, agent["platform"], agent["account_ref"])
    if kill is not None:
        found.append((f"the kill switch is {kill['state']}", _AFTER_A_KILL[KillState(kill["state"])]))
    for one in orders.of_agent(conn, agent["id"], IN_FLIGHT):
        what = f"order {one['client_order_id']} in {one['market_id']} is {one['status']}"
        found.append((what, _ENDS_WHAT_RESTS if one["status"] in _RESTING else _ASKS))
    rows = booking.positions_of(conn, agent["id"])
    held = [one for one in rows if one["quantity"] and one["state"] != PositionState.DUST]
    return found + [(f"{figure_text(one['quantity'])} of {one['market_id']} is held", _CLOSES) for one in held]


def _require_open(agent: Row) -> None:
    if agent["ended_at"] is not None:
        raise Conflict(
            f"account {agent['account_ref']} was retired at {agent['ended_at']:%Y-%m-%d %H:%M:%S} UTC",
            where="agents.ended_at",
            fix="its books are only to be read; `agent run-agent` begins new ones",
        )
