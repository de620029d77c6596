"""One cycle: perceive (T2), decide about each market (T3), judge (T4), send (T6 to T9). Each step is committed before
the next one begins; what a crash leaves is given up, or found, at the next start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any

from agent.amounts import times, total
from agent.store.trading import account, deciding, orders
from agent.trading.ensemble import Choice, choose, proposal_of
from agent.trading.feed import max_mark_age
from agent.trading.kill_switch import Fired
from agent.trading.model import Account, Proposal, Quote
from agent.trading.platform import Unreachable
from agent.trading.provider import Abstention, MarketView, Opinion, name_of
from agent.trading.rule import Review, review
from agent.trading.rules.order_rate import seconds_until_next
from agent.trading.states.machine import step
from agent.trading.states.ooda import OODA, AgentEvent
from agent.trading.states.orders import OrderState
from agent.trading.steps import firing
from agent.trading.steps.booking import write_equity
from agent.trading.steps.desk import Desk, Wait, account_of
from agent.trading.steps.execute import follow, order_for, place, valued
from agent.trading.steps.viewing import (
    REFUSED,
    Standing,
    cost_of,
    market_view,
    position_in,
    reserved_by,
    rule_view,
    standing_of,
)
from pipelines.values import dataclass

_RETRIES, _FIRST_RETRY = 3, 0.2  # 2, 4 and 8 s where reasoning_retry_delay_seconds is 10
_NO_BOOK = "the book lacks that side, or nothing is left to buy with"
_NO_LOCK = ("lock", "duplicate", "release_age", "daily_limit", "order_rate")  # they say by themselves until when


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A market that was decided on, and the order that it asks for."""

    decision_id: str
    choice: Choice
    seen: MarketView
    opinion: Opinion | None
    proposal: Proposal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a cycle came to. failed: markets of which nothing could be read, and why. unsent: why a market has no order,
    in words. is_killed: everything is to be closed now; fired: by what, where this cycle measured it."""

    cycle: int
    decided: int = 0
    sent: int = 0
    refused: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    unsent: tuple[str, ...] = ()
    is_killed: bool = False
    fired: Fired | None = None

    @property
    def is_good(self) -> bool:
        """Whether something could be decided."""
        return self.decided > 0 and not self.is_killed


def process_cycle(desk: Desk, *, wait: Wait | None = None) -> Done:
    """One cycle over all markets. Test mode decides and judges, and stops before anything is written as an order. wait:
    see `decide_all`."""
    follow(desk)
    cycle, fired = perceive(desk)
    if fired is not None:
        firing.acknowledge_file(desk)
        return Done(cycle=cycle, is_killed=True, fired=fired)
    found, failed = decide_all(desk, cycle, wait)
    passed, refused = judge_all(desk, found)
    unsent = [*refused, *(_unasked(one.choice) for one in found if one.proposal is None)]
    denied = send_all(desk, passed, wait) if desk.sends else []
    if not desk.sends:
        unsent += ["test mode: it would be sent"] * len(passed)
    fired = book(desk)
    _ended(desk)
    return Done(
        cycle=cycle,
        decided=len(found),
        sent=len(passed) - len(denied) if desk.sends else 0,
        refused=len(refused) + len(denied),
        failed=failed,
        unsent=(*denied, *unsent),
        is_killed=fired is not None,
        fired=fired,
    )


def _placed(desk: Desk, one: Decided, left: Review) -> str | None:
    """Send what the rules left of a proposal. Why it was denied at the last look, None where it was sent."""
    assert one.proposal is not None, "it was judged"
    assert one.choice.purpose is not None, "a proposal has a purpose"
    order = order_for(one.proposal, left.quantity, one.choice.purpose, desk)
    if place(desk, order) is not OrderState.DENIED:
        return None
    with desk.database.reading() as connections:
        row = orders.load(connections.project, order.client_order_id)
    assert row is not None, "it was written down first"
    return f"denied: {row['reject_text']}"


def _unasked(choice: Choice) -> str:
    """Why a decision asks for no order."""
    if choice.purpose is not None:
        return _NO_BOOK
    texts = [str(one["text"]) for one in choice.reasons if one.get("text")]
    verb = {"hold": "held", "abstain": "abstained"}.get(choice.action, choice.action)
    watched = "watched only; " if any(one.get("code") == "watched" for one in choice.reasons) else ""
    return f"{verb}: {watched}{'; '.join(texts)}"


def send_all(desk: Desk, passed: Sequence[tuple[Decided, Review]], wait: Wait | None = None) -> list[str]:
    """T6 to T9: an order for each proposal that passed, no more of them in a second than a venue takes; returns why
    some were denied at the last look, or not sent."""
    return [why for one, left in passed if (why := _paced(desk, one, left, wait)) is not None]


def _paced(desk: Desk, one: Decided, left: Review, wait: Wait | None) -> str | None:
    if wait is not None and not desk.feed.release.is_historical:  # its clock stands still, however long one waits
        now = desk.clock.now()
        with desk.database.reading() as connections:
            sent = orders.all_sent_since(connections.project, desk.agent_id, now - timedelta(seconds=1))
        pause = seconds_until_next(sent, now)
        if pause and not wait(pause):
            return "the trader was stopped before it was sent"
    return _placed(desk, one, left)


def look(desk: Desk) -> Fired | None:
    """Book what came in and measure the account between two cycles; by what the kill switch fired, if it did."""
    follow(desk)
    return _measure(desk)


def book(desk: Desk) -> Fired | None:
    """Book what came in, and where fills did, measure the account: by what the kill switch fired, if it did. Fills that
    come together are measured together: half of them is no account that ever was."""
    return _measure(desk) if follow(desk) else None


def _measure(desk: Desk) -> Fired | None:
    now, marks = desk.clock.now(), valued(desk)
    with desk.step("look") as conn:
        fired = firing.check(conn, desk, write_equity(conn, desk, marks, now), now)
    if fired is not None:
        firing.acknowledge_file(desk)
    return fired


def perceive(desk: Desk) -> tuple[int, Fired | None]:
    """T2: the next number, what the account is worth, and by what the kill switch fires, if it does."""
    now, marks = desk.clock.now(), valued(desk)
    with desk.step("perceive") as conn:
        row = account.load(conn, desk.agent_id)
        reading = write_equity(conn, desk, marks, now)
        fired = firing.check(conn, desk, reading, now)
        if fired is not None:
            return row["cycle"], fired
        # A cycle that died in another state begins again: idle is where a restart stands.
        state = step(OODA, step(OODA, OODA.start, AgentEvent.WAKE).state, AgentEvent.READ).state
        account.update(conn, desk.agent_id, cycle=row["cycle"] + 1, ooda_state=state)
        return row["cycle"] + 1, None


def decide_all(desk: Desk, cycle: int, wait: Wait | None = None) -> tuple[list[Decided], dict[str, str]]:
    """T3: a decision about each market; and why there is none where nothing could be read. wait: lets the platform be
    asked again where it does not answer, up to three times; None: at once is as good as later."""
    marks = valued(desk)
    with desk.database.reading() as connections:
        held = account_of(desk, connections.project, marks)
    found, failed = [], {}
    for market, quote in _quotes(desk, (*desk.markets, *sorted(desk.watched)), wait).items():
        if isinstance(quote, Quote):
            found.append(_decide(desk, cycle, market, quote, held))
        else:
            failed[market] = quote
    with desk.step("reasoned") as conn:
        _abstain(conn, desk, cycle, failed)
        transit(conn, desk, AgentEvent.DECIDED)
    return found, failed


def _quotes(desk: Desk, markets: Sequence[str], wait: Wait | None) -> dict[str, Quote | str]:
    """What each market shows, or why nobody knows. That nothing is known is an answer; where there is none, the
    platform is asked again, and a market that it says nothing of in the end rests for a while."""
    found = {market: _quote(desk, market) for market in markets}
    delay = desk.config.reasoning_retry_delay_seconds * _FIRST_RETRY
    for number in range(_RETRIES):
        silent = [market for market, quote in found.items() if isinstance(quote, Unreachable)]
        if not silent or wait is None or not wait(delay * 2**number):
            break
        found |= {market: _quote(desk, market) for market in silent}
    silent = [market for market, quote in found.items() if isinstance(quote, Unreachable)]
    if silent:
        _lock(desk, {market: str(found[market]) for market in silent})
    return {market: str(quote) if isinstance(quote, Unreachable) else quote for market, quote in found.items()}


def _quote(desk: Desk, market: str) -> Quote | str | Unreachable:
    try:
        return desk.platform.quote(market) or "nothing is known of its price"
    except Unreachable as error:
        return error


def _lock(desk: Desk, silent: Mapping[str, str]) -> None:
    now = desk.clock.now()
    until = now + timedelta(seconds=desk.config.reasoning_failure_decay_seconds)
    with desk.step("silent") as conn:
        for market, why in silent.items():
            deciding.add_lock(
                conn, desk.agent_id, market=market, side="*", until=until, rule="failed", why=why, now=now
            )


def _decide(desk: Desk, cycle: int, market: str, quote: Quote, held: Account) -> Decided:
    """T3: opinions about one market and the decision that they make."""
    now = desk.clock.now()
    position = position_in(desk, held, market)
    seen = market_view(desk, market, quote, position, now)
    said = {name_of(one): _asked(one, seen, now) for one in desk.providers}
    is_fresh = now - quote.ts <= max_mark_age(seen.listing, desk.config.max_mark_age_seconds)
    choice = choose(seen, said, position, desk.config, is_watched=market in desk.watched, is_fresh=is_fresh)
    its = deciding.decision_id(desk.agent_id, cycle, market)
    size = times(desk.asks_for, held.equity)
    proposal = proposal_of(its, choice, seen, position.quantity if position is not None else total(()), size)
    reasons = [dict(one) for one in choice.reasons]
    if choice.purpose is not None and proposal is None:
        reasons.append({"code": "no_order", "text": _NO_BOOK})
    row = _row(desk, cycle, market, now) | {
        "as_of": min(quote.ts, now),  # a platform's clock may be ahead of ours
        "action": choice.action,
        "probability": choice.probability,
        "confidence": choice.confidence,
        "reference_bid": quote.bid,
        "reference_ask": quote.ask,
        "reference_mid": quote.mid,
        "proposed_quantity": None if proposal is None else proposal.quantity,
        "model_version": None if seen.published is None else seen.published.model_version,
        "status": "made" if proposal is not None or choice.purpose is None else "refused",
        "reasons": reasons,
    }
    with desk.step("decide") as conn:
        deciding.save_decision(conn, row, [_opinion_row(name, one) for name, one in said.items()])
    model = said.get("model")
    return Decided(
        decision_id=its,
        choice=choice,
        seen=seen,
        opinion=model if isinstance(model, Opinion) else None,
        proposal=proposal,
    )


def _row(desk: Desk, cycle: int, market: str, now: datetime) -> dict[str, Any]:
    """What each decision of a cycle has."""
    return {
        "decision_id": deciding.decision_id(desk.agent_id, cycle, market),
        "agent_id": desk.agent_id,
        "cycle": cycle,
        "market_id": market,
        "pair": desk.markets.get(market, market)[:100],
        "made_at": now,
        "release_id": desk.feed.release.release_id,
    }


def _abstain(conn: Any, desk: Desk, cycle: int, failed: Mapping[str, str]) -> None:
    """Nothing is decided about a market that nobody can price, and a row says so: whoever asks why there was no trade
    finds each cycle."""
    now = desk.clock.now()
    said = {"as_of": now, "action": "abstain", "status": "made"}
    rows = [
        _row(desk, cycle, market, now) | said | {"reasons": [{"code": "failed", "text": why}]}
        for market, why in failed.items()
    ]
    deciding.save_abstentions(conn, rows)


def _asked(provider: Any, seen: MarketView, now: datetime) -> Opinion | Abstention:
    """A provider that fails abstains."""
    try:
        found: Opinion | Abstention = provider.opine(seen, now)
        return found
    except Exception as error:  # whatever it is made of must not stop the others
        return Abstention(f"{type(error).__name__}: {error}")


def _opinion_row(name: str, said: Opinion | Abstention) -> dict[str, Any]:
    if isinstance(said, Abstention):
        return {"provider": name, "probability": None, "reasons": [{"code": "abstained", "text": said.why}]}
    weight = 0.0 if said.wants is None else 1.0
    facts = {"probability": said.probability, "confidence": said.confidence, "weight_used": weight}
    return {"provider": name, **facts, "reasons": [dict(one) for one in said.reasons]}


def judge_all(desk: Desk, found: Sequence[Decided]) -> tuple[list[tuple[Decided, Review]], list[str]]:
    """T4: all verdicts, the most promising proposal first: it gets the cash, and those after it what it leaves of each
    limit. What closes goes before all that opens. Returns what passed, and why each other one did not."""
    now = desk.clock.now()
    asking = sorted(
        (one for one in found if one.proposal is not None),
        key=lambda one: (one.choice.purpose == "open", -one.choice.weight, one.seen.listing.instrument.market_id),
    )
    marks = valued(desk)
    passed, refused = [], list[str]()
    with desk.step("judge") as conn:
        standing = standing_of(conn, desk, account_of(desk, conn, marks), now)
        reserved = total(reserved_by(desk, one) for one in standing.account.resting)
        for one in asking:
            assert one.proposal is not None, "filtered"
            said = _judge(conn, desk, standing, one, reserved, now)
            if said.quantity > 0:
                passed.append((one, said))
                assert one.choice.purpose is not None, "a proposal has a purpose"
                standing = standing.beside(order_for(one.proposal, said.quantity, one.choice.purpose, desk), now)
                if not one.proposal.reduces:
                    cost = cost_of(desk, one.proposal.market_id, said.quantity, one.proposal.reference)
                    reserved = total((reserved, cost))
            else:
                refused.append(_refused(said))
        transit(conn, desk, AgentEvent.PASSED if passed else AgentEvent.NONE_PASSED)
    return passed, refused


def _judge(conn: Any, desk: Desk, standing: Standing, one: Decided, reserved: Any, now: datetime) -> Review:
    assert one.proposal is not None, "the caller filtered"
    if _closes_already(standing.account, one.proposal):
        deciding.set_status(conn, one.decision_id, "refused")
        return Review((), total(()))
    view = rule_view(desk, conn, standing, one.seen, one.proposal, one.opinion, reserved, now)
    said = review(desk.rules, one.proposal, view, now)
    rows = [
        {
            "rule": verdict.rule,
            "verdict": verdict.verdict,
            "quantity_before": verdict.before,
            "quantity_after": verdict.after,
            "reason": verdict.reason,
            "evidence": verdict.evidence,
        }
        for verdict in said.verdicts
    ]
    deciding.save_verdicts(conn, one.decision_id, rows, status="approved" if said.quantity > 0 else "refused")
    refusal = said.refusal
    if refusal is not None and refusal.rule not in _NO_LOCK and not one.proposal.reduces:
        until = now + timedelta(seconds=desk.config.reasoning_failure_decay_seconds)
        market, side = one.proposal.market_id, one.proposal.side
        why = f"{refusal.rule}: {refusal.reason}"
        deciding.add_lock(conn, desk.agent_id, market=market, side=side, until=until, rule=REFUSED, why=why, now=now)
    return said


def _refused(said: Review) -> str:
    refusal = said.refusal
    if refusal is None:
        return "an order that closes it rests already"
    return f"refused by {refusal.rule}: {refusal.reason}"


def _closes_already(account: Account, proposal: Proposal) -> bool:
    """Whether an order that closes the same position rests already: two would turn it round."""
    return proposal.reduces and any(one.reduce_only and one.key == proposal.key for one in account.resting)


def _ended(desk: Desk) -> None:
    """The last two states: outcomes are booked as they come, so that nothing is left to learn here."""
    with desk.step("learned") as conn:
        if account.load(conn, desk.agent_id)["ooda_state"] == "execution":
            transit(conn, desk, AgentEvent.SENT)
        transit(conn, desk, AgentEvent.BOOKED)


def transit(conn: Any, desk: Desk, event: AgentEvent) -> None:
    """The state that follows from an event, see states.ooda."""
    state = account.load(conn, desk.agent_id)["ooda_state"]
    account.update(conn, desk.agent_id, ooda_state=step(OODA, state, event).state)
