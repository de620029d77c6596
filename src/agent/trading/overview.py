"""How a trader stands, as a page shows it: state and why, how far each limit is away, what is held and what waits, and
why nothing was traded. What is read is one function, what is said of it another, which is pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from agent.amounts import EXACT, figure_text, less, money_text, times
from agent.core.answers import Line, Ref, Tone
from agent.core.figures import span_text
from agent.store.outputs import projections
from agent.store.trading import account, booking, deciding, orders
from agent.store.trading.showing import why, with_marks
from agent.trading.config import TradingAgentConfig
from agent.trading.kill_switch import Cause, Distance, Limits, Reading, distances
from agent.trading.measures.day import midnight_before
from agent.trading.model import key_text
from agent.trading.states.orders import IN_FLIGHT
from agent.trading.states.permissions import Reason, held_back_by
from agent.trading.steps.desk import kill_word
from agent.trading.steps.firing import limits_of
from pipelines.figures import percent_text
from pipelines.values import dataclass

Row = Mapping[str, Any]
_CENT = Decimal("0.01")
_POINTS, _DECISIONS, _ORDERS = 1000, 50, 200  # of the curve; lines of a table
_NAMES = {Cause.LOSS_LIMIT: "Loss", Cause.DRAWDOWN_LIMIT: "Fall from the peak", Cause.PROFIT_TARGET: "Gain"}


@dataclass(frozen=True)
class Standing:
    """What the rows say of one account. kill: the one that stands, with its marks; asked: who left a KILL file and why,
    "" where there is none; measured: the newest equity; equity: its rows, the oldest first; day: midnight (UTC) of the
    day of the refusals, which is that of the newest equity; is_run: whether a process holds the account now; names:
    what people call the markets that are known."""

    agent: Row
    kill: Row | None
    asked: str
    measured: Row | None
    equity: Sequence[Row]
    held: Sequence[Row]
    flying: Sequence[Row]
    decided: Sequence[Row]
    day: datetime
    refusals: Sequence[tuple[str, int, datetime]]
    is_run: bool
    names: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table of a page. numbers: columns that stand to the right; none: what is said where it has no rows; note: what
    is said below it."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]
    none: str
    numbers: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class Overview:
    """A trader as a page shows it. can_pause: whether there is something to pause: a replay that nobody runs is only to
    be looked at. curves: equity, then peak and limits as they stood, (name, points of x in seconds
    and y in units of the account)."""

    agent_id: int
    name: str
    sentence: Line
    tone: Tone
    is_paused: bool
    can_pause: bool
    facts: tuple[tuple[str, Line], ...]
    curves: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
    limits: Table
    tables: tuple[Table, ...]


def load_overviews(conn: Any, home: Path, now: datetime) -> list[Overview]:
    """Every account that is traded in a project, the one measured last first: not a replay of earlier days. home: where
    its KILL file would be."""
    word = kill_word(home)
    asked = "" if word is None else word or "no word why"
    found = [_load(conn, agent, asked, now) for agent in account.all_open(conn)]
    return [overview_of(one, now) for one in sorted(found, key=_measured_at, reverse=True)]


def _measured_at(one: Standing) -> datetime:
    return datetime.min.replace(tzinfo=UTC) if one.measured is None else one.measured["ts"]


def _load(conn: Any, agent: Row, asked: str, now: datetime) -> Standing:
    its, kill = agent["id"], account.standing_kill(conn, agent["platform"], agent["account_ref"])
    equity = booking.equity_of(conn, its, _POINTS)[::-1]
    newest = equity[-1] if equity else None
    day = midnight_before(now if newest is None else newest["ts"])
    held = [row for row in booking.positions_of(conn, its) if row["quantity"]]
    flying = orders.of_agent(conn, its, IN_FLIGHT)
    decided = deciding.of_cycle(conn, its, agent["cycle"]) if agent["cycle"] else []
    known = projections.market_facts(conn, {row["market_id"] for row in (*held, *flying, *decided)})
    return Standing(
        agent=agent,
        kill=None if kill is None else with_marks(conn, kill),
        asked=asked,
        measured=newest,
        equity=equity,
        held=held,
        flying=flying,
        decided=decided,
        day=day,
        refusals=deciding.refusals_between(conn, its, day, day + timedelta(days=1)),
        is_run=account.is_traded(conn, agent),
        names={market: facts.name for market, facts in known.items()},
    )


def overview_of(one: Standing, now: datetime) -> Overview:
    """What is said of an account. Pure."""
    agent, limits = one.agent, _limits_in(one.agent["config"])
    sentence, tone = state_of(one)
    kill = () if one.kill is None else (_kill(one.kill),)
    tables = (*kill, _positions(one, now), _orders(one), _cycle(one), _refusals(one, now))
    return Overview(
        agent_id=agent["id"],
        name=f"{agent['account_ref']} ({agent['mode']})",
        sentence=sentence,
        tone=tone,
        is_paused=str(Reason.PERSON) in (agent["trading_reason"] or {}),
        can_pause=one.is_run or not account.is_replay(agent),
        facts=_facts(one),
        curves=_curves(one, limits),
        limits=_distances(one, limits),
        tables=tables,
    )


def state_of(one: Standing) -> tuple[Line, Tone]:
    """How an account stands and why, in one sentence."""
    agent, kill = one.agent, one.kill
    runs = "a trader runs" if one.is_run else "no trader runs (agent run-agent starts one)"
    if kill is not None:
        causes = ", ".join(str(each).lower().replace("_", " ") for each in kill["cause"])
        what = (
            "everything is closed, and agent kill-switch reset lets it trade again"
            if kill["state"] == "flat"
            else "something cannot be closed, see agent kill-switch"
            if kill["state"] == "stuck"
            else f"closing everything goes on, and {runs}"
        )
        return (
            "Halted: the kill switch fired ",
            kill["triggered_at"],
            f" by {causes} ({kill['triggered_by']}); {what}.",
        ), "bad"
    if account.is_replay(agent) and not one.is_run:
        return ("A replay that nobody runs now; the same agent run-agent --from goes on where it ended.",), "plain"
    if one.asked:
        then = "in its next cycle" if one.is_run else "when it is started"
        return (
            f"Nothing is sent: to close everything was asked for ({one.asked}), which the trader does {then}.",
        ), "bad"
    held = agent["trading_reason"] or {}
    reasons, again = held_back_by(held), held.get(str(Reason.RESUMED), "")
    runs += f"; {again}" if again else ""
    if reasons or agent["trading_state"] != "active":
        return (f"{agent['trading_state'].capitalize()}: {reasons or 'no reason is on record'}; {runs}.",), "plain"
    if one.is_run:
        return (f"Active: {runs}, in cycle {agent['cycle']:,}, and nothing keeps it from trading.",), "good"
    return (f"Not running: nothing keeps it from trading, but {runs}.",), "plain"


def distance_text(one: Distance) -> str:
    """How far a limit is away, such as "loses 138.20 more (1.39 %) → closes all". Cents are rounded up: so much does
    reach it."""
    if one.money <= 0:
        return "reached → closes all at the next look"
    verb = "gains" if one.cause is Cause.PROFIT_TARGET else "loses"
    part = "" if one.part is None else f" ({percent_text(one.part, 2)})"
    return f"{verb} {one.money.quantize(_CENT, ROUND_CEILING, context=EXACT):,f} more{part} → closes all"


def _limits_in(config: Row) -> Limits:
    """The limits that the newest start of an account wrote down."""
    names = ("kill_switch_loss_pct", "kill_switch_gain_pct", "max_drawdown_pct", "stale_action")
    known = {one.name for one in fields(TradingAgentConfig)} & set(names)
    return limits_of(TradingAgentConfig(**{name: config[name] for name in known if name in config}))


def _facts(one: Standing) -> tuple[tuple[str, Line], ...]:
    agent, newest = one.agent, one.measured
    if newest is None:
        return (("Equity", ("not measured yet",)),)
    return (
        ("Equity", (money_text(newest["equity"]),)),
        ("Cash", (money_text(newest["cash"]),)),
        ("Positions", (money_text(newest["position_value"]),)),
        ("Peak", (money_text(agent["peak_equity"]),)),
        ("Measured from", (money_text(agent["initial_equity"]),)),
        ("Measured", (newest["ts"], *((", by old prices",) if newest["stale"] else ()))),
    )


def _distances(one: Standing, limits: Limits) -> Table:
    agent, newest = one.agent, one.measured
    reading = newest and Reading(equity=newest["equity"], initial=agent["initial_equity"], peak=agent["peak_equity"])
    rows = tuple(
        ((f"{_NAMES[each.cause]} {percent_text(each.limit, 2)}",), (money_text(each.level),), (distance_text(each),))
        for each in (distances(reading, limits) if reading else ())
    )
    if one.kill is not None:
        note = "It fired: nothing is measured until it is reset."
    elif newest is not None and newest["stale"]:
        note = "More than a tenth of what is held is valued by old prices: no limit fires by them."
    else:
        note = ""
    none = "Every limit is off." if reading else "The account was not measured yet."
    return Table("Limits", ("Limit", "At an equity of", "Distance"), rows, none, frozenset({1}), note)


def _curves(one: Standing, limits: Limits) -> tuple[tuple[str, tuple[tuple[float, float], ...]], ...]:
    """Equity and peak as they were measured; the limits by what they are measured from today."""
    if len(one.equity) < 2:
        return ()
    at = [row["ts"].timestamp() for row in one.equity]
    peaks = [row["peak"] for row in one.equity]
    start = one.agent["initial_equity"]
    lines: dict[str, list[Decimal]] = {"Equity": [row["equity"] for row in one.equity], "Peak": peaks}
    if limits.loss is not None:
        lines["Loss limit"] = [times(start, 1 - limits.loss)] * len(at)
    if limits.drawdown is not None:
        lines["Fall limit"] = [times(peak, 1 - limits.drawdown) for peak in peaks]
    if limits.gain is not None:
        lines["Gain limit"] = [times(start, 1 + limits.gain)] * len(at)
    return tuple((name, tuple(zip(at, map(float, values), strict=True))) for name, values in lines.items())


def mark_texts(key: str, mark: Row | None, at: datetime) -> tuple[str, str, str]:
    """A mark of a position (`key`) for people, at a moment: position, price, kind and age."""
    if mark is None:
        return key, "–", "nobody said a price: as paid"
    age = span_text((at - datetime.fromisoformat(mark["ts"])).total_seconds())
    return key, figure_text(Decimal(str(mark["price"]))), f"{str(mark['kind']).replace('_', ' ')}, {age} old"


def _kill(kill: Row) -> Table:
    """What the switch fired by, and what is left where it is stuck."""
    at, marks = kill["triggered_at"], kill["marks"] or {}
    equity = () if kill["equity"] is None else (f"Equity {money_text(kill['equity'])}",)
    reached = (
        (f"{percent_text(kill['measured'], 2)} measured, the limit is {percent_text(kill['limit_value'], 2)}",)
        if kill["limit_value"] and Cause.STALE_MARKS not in kill["cause"]
        else ()
    )
    left = tuple(
        f"{each['market']}: {each['why']}" for each in (kill["stuck"] or () if kill["state"] == "stuck" else ())
    )
    return Table(
        "What the kill switch fired by",
        ("Position", "Mark", "Marked"),
        tuple(tuple((text,) for text in mark_texts(key, each, at)) for key, each in marks.items()),
        "Nothing was held." if kill["marks"] is not None else "The account was not measured before.",
        frozenset({1}),
        "".join(f"{each}. " for each in (*equity, *reached, *(f"Left: {each}" for each in left))).rstrip(),
    )


def _positions(one: Standing, now: datetime) -> Table:
    marks = {} if one.measured is None else one.measured["marks"]
    return Table(
        "Positions",
        ("Market", "Quantity", "Entry", "Mark", "Marked", "Worth", "Gain, open"),
        tuple(_position(one, row, marks.get(key_text((row["market_id"], row["outcome"]))), now) for row in one.held),
        "Nothing is held.",
        frozenset({1, 2, 3, 5, 6}),
    )


def _position(one: Standing, row: Row, mark: Row | None, now: datetime) -> tuple[Line, ...]:
    quantity, entry = row["quantity"], row["average_price"]
    begin: tuple[Line, ...] = (_market(one, row), (figure_text(quantity),), (figure_text(entry),))
    if mark is None:
        return (*begin, ("–",), ("nobody says a price",), (f"{money_text(times(quantity, entry))} as paid",), ("–",))
    price, at = Decimal(str(mark["price"])), datetime.fromisoformat(mark["ts"])
    worth, gain = times(quantity, price), times(quantity, less(price, entry))
    age = f", {span_text((now - at).total_seconds())} ago ({str(mark['kind']).replace('_', ' ')})"
    sign = "+" if gain > 0 else ""
    return (*begin, (figure_text(price),), (at, age), (money_text(worth),), (f"{sign}{money_text(gain)}",))


def _orders(one: Standing) -> Table:
    # Of which nobody knows first: it may be out there, or not.
    rows = sorted(one.flying, key=lambda row: row["status"] not in ("unknown", "sending"))
    return Table(
        "Open and unknown orders",
        ("Market", "Order", "Filled", "At", "For", "Status", "Since"),
        tuple(
            (
                _market(one, row),
                (f"{row['side']} {figure_text(row['quantity'])}",),
                (figure_text(row["filled_quantity"]),),
                ("the market" if row["limit_price"] is None else figure_text(row["limit_price"]),),
                (row["purpose"].replace("_", " "),),
                (row["status"],),
                (row["status_at"],),
            )
            for row in rows[:_ORDERS]
        ),
        "No order is open, and none is unknown.",
        frozenset({2, 3}),
        _more(len(rows), _ORDERS),
    )


def _cycle(one: Standing) -> Table:
    cycle, decided = one.agent["cycle"], one.decided
    without = [row for row in decided if row["status"] != "ordered"]
    ordered = len(decided) - len(without)
    if not cycle:
        none = "There was no cycle yet."
    elif not decided:
        none = f"Cycle {cycle:,} decided on nothing: no price of any market was known, or it was ended before."
    else:
        none = f"Cycle {cycle:,} ordered in each of its {len(decided):,} markets."
    return Table(
        "Why the last cycle did not trade",
        ("Market", "Decision", "Confidence", "Status", "Why"),
        tuple(
            (
                _market(one, row),
                (row["action"],),
                ("–" if row["confidence"] is None else percent_text(Decimal(row["confidence"]), 2),),
                (row["status"],),
                (why(row),),
            )
            for row in without[:_DECISIONS]
        ),
        none,
        frozenset({2}),
        f"Cycle {cycle:,}: {len(decided):,} decided on, {ordered:,} ordered.{_more(len(without), _DECISIONS)}"
        if without
        else "",
    )


def _refusals(one: Standing, now: datetime) -> Table:
    day = "today" if one.day.date() == now.date() else f"on {one.day:%Y-%m-%d}"
    return Table(
        f"Refusals {day} (UTC)",
        ("Rule", "Refused", "Last"),
        tuple(((rule.replace("_", " "),), (f"{count:,}",), (last,)) for rule, count, last in one.refusals),
        f"No rule refused anything {day}.",
        frozenset({1}),
        f"{sum(count for _, count, _ in one.refusals):,} in all." if one.refusals else "",
    )


def _more(count: int, most: int) -> str:
    return f" {count - most:,} more are not listed." if count > most else ""


def _market(one: Standing, row: Row) -> Line:
    market, outcome = row["market_id"], row.get("outcome")
    ref = Ref("market", market, one.names.get(market, market))
    return (ref, f" {outcome}") if outcome else (ref,)
