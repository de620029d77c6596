"""Every risk rule by its own examples, and by property: none ever enlarges, and each is needed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.trading import rules
from agent.trading.model import Account, Order, Position, Proposal
from agent.trading.rule import Allow, Answer, Lock, Reduce, Refuse, Rule, View, floored, largest, review, smaller
from agent.trading.rule_example import MARKET, NOW, Case, proposal_of, view_of
from pipelines.costs import Costs
from tests.examples import examples

D = Decimal
RULES = rules.load()
NAMES = [rule.__name__.rpartition(".")[2] for rule in RULES]
CASES = [(rule, kind, case) for rule in RULES for kind in ("ALLOWS", "REFUSES") for case in getattr(rule, kind)]


def judged_by(rule: Rule, case: Case) -> Any:
    return review([rule], proposal_of(case), view_of(case), NOW)


def test_the_rules_judge_in_the_order_of_the_specification() -> None:
    assert [
        *("market_open", "reduce_only", "data_age", "release_age", "lock", "duplicate", "confidence", "daily_limit"),
        *("filters", "spread", "liquidity", "sizing", "concentration", "exposure", "correlation", "var", "budget"),
        *("minimum", "order_rate"),
    ] == NAMES
    assert len({rule.PLACE for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(("rule", "kind", "case"), CASES, ids=lambda one: getattr(one, "about", None) or str(one)[-20:])
def test_each_rule_does_as_its_examples_say(rule: Rule, kind: str, case: Case) -> None:
    found = judged_by(rule, case)
    (verdict,) = found.verdicts
    if kind == "REFUSES":
        assert verdict.verdict == "refuse", verdict
        assert case.says, "an example says why"
        assert case.says in verdict.reason
        assert found.quantity == 0
    else:
        assert case.left is not None
        assert found.quantity == D(case.left), verdict


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_each_rule_tells_people_what_it_does_and_has_examples_of_both(rule: Rule) -> None:
    assert rule.__doc__
    assert rule.__doc__.rstrip().endswith(".")
    assert rule.ALLOWS and rule.REFUSES  # type: ignore[attr-defined]  # noqa: PT018  # what a rule gives


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_rule_replaced_by_allow_is_missed(rule: Rule) -> None:
    """The mutation: with this rule gone, one of its own examples fails."""
    silent = SimpleNamespace(__name__=rule.__name__, __doc__="", PLACE=rule.PLACE, CLOSES=rule.CLOSES, check=_allow)
    for case in rule.REFUSES:  # type: ignore[attr-defined]  # what a rule gives
        assert review([silent], proposal_of(case), view_of(case), NOW).quantity > 0  # type: ignore[list-item]  # a rule's shape
        assert judged_by(rule, case).quantity == 0


def _allow(proposal: Proposal, view: View, now: datetime) -> Answer:
    return Allow()


def test_a_proposal_that_nothing_speaks_against_passes_whole() -> None:
    found = review(RULES, proposal_of(Case("")), view_of(Case("")), NOW)
    assert found.quantity == D("0.01")
    assert found.refusal is None
    assert [one.rule for one in found.verdicts] == NAMES


def test_the_seeds_numbers() -> None:
    """Acceptance test 1: risk 1 %, stop 2 %: 0.1 BTC, and 0.06 after concentration, both numbers in the verdict."""
    found = review(
        RULES, proposal_of(Case("", proposal={"quantity": D(10)})), view_of(Case("", quote={"ask_depth": D(100)})), NOW
    )
    verdicts = {one.rule: one for one in found.verdicts}
    assert verdicts["sizing"].after == D("0.1")
    assert (verdicts["concentration"].before, verdicts["concentration"].after) == (D("0.1"), D("0.06"))
    assert verdicts["concentration"].verdict == "reduce"
    assert found.quantity == D("0.06")


def test_the_first_refusal_ends_it_and_names_itself() -> None:
    case = Case("", proposal={"confidence": 0.1}, quote={"ask": D(60_000)})
    found = review(RULES, proposal_of(case), view_of(case), NOW)
    assert [one.rule for one in found.verdicts][-1] == "confidence"
    assert found.refusal == found.verdicts[-1]
    assert found.quantity == 0


def test_closing_is_judged_by_three_rules_alone() -> None:
    held = Position(market_id=MARKET, outcome="", quantity=D("0.01"), average=D(50_000), mark=D(49_990))
    lock = Lock(market_id="*", side="*", until=NOW + timedelta(hours=1), reason="r")
    view = {"account": Account(cash=D(-5), positions=(held,)), "locks": (lock,), "sent": (NOW,) * 100}
    case = Case(
        "", proposal={"reduces": True, "side": "sell", "confidence": 0.0}, view=view, release={"is_current": False}
    )
    found = review(RULES, proposal_of(case), view_of(case), NOW)
    assert [one.rule for one in found.verdicts] == ["market_open", "reduce_only", "filters"]
    assert found.quantity == D("0.01")


def test_a_rule_that_would_enlarge_is_taken_as_allowing() -> None:
    greedy = SimpleNamespace(
        __name__="rules.greedy", __doc__="", PLACE=1, CLOSES=True, check=lambda *_: Reduce(D(99), "take more")
    )
    found = review([greedy], proposal_of(Case("")), view_of(Case("")), NOW)  # type: ignore[list-item]  # a rule's shape
    assert found.quantity == D("0.01")
    assert found.verdicts[0].verdict == "allow"
    with pytest.raises(ValueError, match="cannot become one of 99"):
        smaller(proposal_of(Case("")), D(99))


def test_what_comes_to_less_than_a_lot_is_refused() -> None:
    tiny = SimpleNamespace(
        __name__="rules.tiny", __doc__="", PLACE=1, CLOSES=True, check=lambda *_: Reduce(D("0.000000009"), "too much")
    )
    found = review([tiny], proposal_of(Case("")), view_of(Case("")), NOW)  # type: ignore[list-item]  # a rule's shape
    assert (found.quantity, found.verdicts[0].verdict) == (D(0), "refuse")


def test_a_size_is_floored_and_never_rounded_up() -> None:
    assert floored(D("0.0199"), D("0.01")) == D("0.01")
    assert floored(D("0.02"), D("0.01")) == D("0.02")
    assert floored(D("0.009"), D("0.01")) == 0
    assert largest(D(10), D("0.1"), lambda size: size <= D("3.33")) == D("3.3")
    assert largest(D(10), D("0.1"), lambda size: False) == 0
    assert largest(D("10.05"), D("0.1"), lambda size: True) == D("10.05")


# --- by property ---------------------------------------------------------------------------------------------------


def any_case(chance: random.Random) -> tuple[Proposal, View]:
    """A proposal in a view where nearly everything differs from the example."""
    price = D(chance.randrange(1, 10**7)).scaleb(-2)
    is_binary = chance.random() < 0.4
    reference = D(chance.randrange(1, 99)).scaleb(-2) if is_binary else price
    outcome = chance.choice(["yes", "no"]) if is_binary else ""
    others = tuple(
        Position(
            market_id=chance.choice([MARKET, "a", "b", "c"]),
            outcome=outcome,  # type: ignore[arg-type]  # one of ours
            quantity=D(chance.randrange(-500, 500)).scaleb(-2),
            average=reference,
            mark=reference,
        )
        for _ in range(chance.randrange(4))
    )
    view = view_of(
        Case(
            "",
            quote={
                "bid": None if chance.random() < 0.1 else reference - D("0.001"),
                "ask": reference,
                "ask_depth": None if chance.random() < 0.5 else D(chance.randrange(1000)),
                "is_open": chance.random() < 0.9,
            },
            release={"open_seconds": chance.choice([0.0, 5000.0])},
            config={"max_var_pct": chance.choice([0.01, 5.0]), "max_exposure_pct": chance.choice([1.0, 100.0])},
        )
    )
    account = Account(cash=D(chance.randrange(-100, 10**6)), positions=others, resting=resting(chance))
    kind = "binary" if is_binary else "spot"
    lot = chance.choice([D("0.00000001"), D("0.01"), D(1)])
    view = replace(
        view,
        account=account,
        instrument=replace(view.instrument, kind=kind, lot=lot),
        belief=chance.random(),
        reserved=D(chance.randrange(1000)),
        sent=(NOW,) * chance.choice([0, 1, 200]),
        costs=Costs(fee=chance.choice([0.0, 0.07]), slippage=0.001, is_binary=is_binary),
        day_returns={MARKET: [chance.gauss(0, 0.03) for _ in range(chance.choice([0, 60, 80]))]},
    )
    changes: Mapping[str, Any] = {
        "quantity": D(chance.randrange(1, 10**6)).scaleb(-4),
        "reference": reference,
        "outcome": outcome,
        "side": chance.choice(["buy", "sell"]),
        "confidence": chance.random(),
        "stop": None if chance.random() < 0.5 else reference / 2,
        "reduces": chance.random() < 0.2,
    }
    return proposal_of(Case("", proposal=changes)), view


def resting(chance: random.Random) -> tuple[Order, ...]:
    if chance.random() < 0.7:
        return ()
    return (
        Order(
            client_order_id="tm1",
            market_id=chance.choice([MARKET, "a"]),
            outcome="",
            side="buy",
            purpose="open",
            type="limit",
            time_in_force="gtc",
            quantity=D(3),
            limit_price=D(10),
            status="open",
            prepared_at=NOW,
        ),
    )


@settings(max_examples=examples(150))
@given(st.integers(0, 2**32))
def test_no_rule_ever_enlarges(seed: int) -> None:
    proposal, view = any_case(random.Random(seed))
    for rule in RULES:
        answer = rule.check(proposal, view, NOW)
        assert isinstance(answer, Allow | Reduce | Refuse)
        (verdict,) = review([rule], proposal, view, NOW).verdicts or (None,)
        if verdict is not None:
            assert verdict.after <= proposal.quantity
            assert verdict.verdict == "allow" or verdict.after == floored(verdict.after, view.instrument.lot)
    found = review(RULES, proposal, view, NOW)
    assert 0 <= found.quantity <= proposal.quantity
    for before, after in zip(found.verdicts, found.verdicts[1:], strict=False):
        assert after.before == before.after


@settings(max_examples=examples(60))
@given(st.integers(0, 2**32))
def test_fewer_rules_never_allow_less(seed: int) -> None:
    chance = random.Random(seed)
    proposal, view = any_case(chance)
    some = [rule for rule in RULES if chance.random() < 0.7]
    assert review(RULES, proposal, view, NOW).quantity <= review(some, proposal, view, NOW).quantity
