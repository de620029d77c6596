"""The morning's figures and sentences, from rows alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.answers import Answer, Ref, listed, plain, polyline
from agent.core.model import Code, Reason
from agent.core.morning import (
    Decided,
    Fresh,
    Gains,
    Morning,
    Since,
    causes_of,
    money,
    outcomes,
    ready,
    since,
)
from agent.core.morning_text import answers_of
from agent.core.release_diff import Change

AT = datetime(2026, 11, 26, tzinfo=UTC)
DAY = AT.date()
FRESH = Fresh("2026-11-27-ab", AT, AT + timedelta(hours=1), 3 * 3600, False, "NO EDGE: by chance", "kept 0.2")
BASE = Decided(
    "x:ETC", "ETC", AT, 0.41, "hold", 0.411, -0.001, "net edge -0.001 % does not exceed the margin of 0.000 %"
)


def decided(name: str, probability: float = 0.5, action: str = "hold", **more: object) -> Decided:
    return replace(BASE, market_id=f"x:{name}", name=name, probability=probability, action=action, **more)


def morning(**changes: object) -> Morning:
    empty = Morning(date(2026, 11, 27), FRESH, Since(None), ready([]), outcomes(DAY, [], None), 0, money([], []))
    return replace(empty, **changes)


def said(number: int, **changes: object) -> tuple[str, list[str], Answer]:
    one = answers_of(morning(**changes))[number]
    return plain(one.head), [plain(line) for line in one.lines], one


def test_how_fresh_it_is() -> None:
    head, lines, _ = said(0)
    assert head == "Data 3 h old"
    assert lines == [
        "Data to 2026-11-26 00:00 UTC",
        "Released 2026-11-26 01:00 UTC: 2026-11-27-ab",
        "NO EDGE: by chance",
        "Forward record: kept 0.2",
    ]
    historical = replace(FRESH, age_seconds=None, is_historical=True, assessment=None, promise=None)
    head, lines, _ = said(0, fresh=historical)
    assert head.startswith("Historical data")
    assert len(lines) == 2
    assert said(0, fresh=replace(historical, is_historical=False, data_to=None))[0].endswith("not on record")


def test_what_changed_names_causes_markets_and_moves() -> None:
    old = [decided("A", 0.40), decided("B", 0.5), decided("C", 0.5, "buy"), decided("GONE")]
    new = [decided("A", 0.61), decided("B", 0.5004), decided("C", 0.501, "hold"), decided("NEW")]
    found = since("r1", ["ticks ran because x"], *({one.market_id: one for one in many} for many in (old, new)))
    assert [one.text for one in found.new] == ["NEW"]
    assert [one.text for one in found.gone] == ["GONE"]
    assert [now.name for _, now in found.moved] == ["C", "A"], "another action first, then the larger move"
    head, lines, _ = said(1, since=found)
    assert head == "ticks ran because x"
    assert lines == [
        "New: NEW",
        "Gone: GONE",
        "2 decisions moved, 1 to another action",
        "C: buy → hold, 50.0 % → 50.1 %",
        "A: 40.0 % → 61.0 %",
        "Before it: r1",
    ]
    assert said(1, since=Since(None))[0] == "This is the first release"
    same = said(1, since=since("r1", [], {}, {}))
    assert same[:2] == ("Nothing behind it differs", ["No decision moved", "Before it: r1"])
    many = said(1, since=since("r1", [f"cause {n}" for n in range(9)], {}, {}))[1]
    assert many[:4] == ["cause 1", "cause 2", "cause 3", "and 5 other causes"]


def test_causes_are_the_first_ones_as_recorded() -> None:
    recorded = [
        ("ticks", [Reason(Code.SOURCE_NEW_DATA, "sample", "a", "b", "3 parts")]),
        ("markets", [Reason(Code.SETTINGS_CHANGED, "costs.fee", None, "3.0")]),
        ("markets", [Reason(Code.SETTINGS_CHANGED, "costs.tick", None, "null")]),  # came with the others, unset
        ("features", [Reason(Code.INPUT_CHANGED, "ticks", "a", "b")]),
        ("model", [Reason(Code.FAILED, detail="it broke")]),
        ("ticks", [Reason(Code.SOURCE_NEW_DATA, "sample", "a", "b", "3 parts")]),
    ]
    own = Change("features", ("code",), {})
    assert causes_of(recorded, [own]) == (
        "ticks ran because there is new data in the source sample (3 parts)",
        "markets ran because the setting costs.fee is new (3.0)",
    )
    # Where retention has taken the runs, the two releases tell.
    assert causes_of([], [own, Change("ticks", ("inputs",), {})]) == ("features changed by its code",)
    assert causes_of([], [Change("ticks", ("inputs",), {})]) == ("new data",)
    assert causes_of([], []) == ()


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (BASE, "Nothing; best: ETC 41.0 %, needs 41.1 %"),
        (
            replace(BASE, probability=0.41096, threshold=0.41099, distance=-0.00003),
            "Nothing; best: ETC 41.096 %, needs 41.099 %",
        ),
        (
            replace(BASE, probability=0.3, threshold=0.25, distance=-0.05),
            "Nothing; best: ETC 30.0 %, needs 25.0 % or less",
        ),
        (
            replace(BASE, probability=0.62, threshold=0.58, distance=0.04, reason="NO EDGE"),
            "Nothing; best: ETC 62.0 %, needs 58.0 %: enough, but held",
        ),
        (
            replace(BASE, probability=0.2, threshold=0.25, distance=0.05),
            "Nothing; best: ETC 20.0 %, needs 25.0 % or less: enough, but held",
        ),
    ],
)
def test_how_near_a_trade_is(one: Decided, text: str) -> None:
    far = decided("FAR", 0.1, distance=-0.4, threshold=0.5)
    never = decided("NEVER", threshold=None, distance=None)
    found = ready([never, far, one])
    assert [each.name for each in found.nearest] == ["ETC", "FAR"]
    head, lines, answer = said(2, ready=found)
    assert head == text
    assert lines[0] == f"Why: {one.reason}"
    assert lines[1].startswith("FAR 10.0 %, needs 50.0 %")
    assert answer.head[1] == Ref("market", "x:ETC", "ETC")
    assert said(2, ready=ready([never]))[0] == "Nothing, and no probability would change that"


def test_what_to_enter_now() -> None:
    many = [decided(f"M{n}", 0.6 + n / 100, "buy", threshold=0.55, reason="net edge +1 %") for n in range(5)]
    head, lines, answer = said(2, ready=ready([*many, BASE]))
    assert (head, answer.tone) == ("5 to enter", "good")
    assert lines == [
        "M0: buy at 60.0 %, needs 55.0 %; net edge +1 %",
        "M1: buy at 61.0 %, needs 55.0 %; net edge +1 %",
        "M2: buy at 62.0 %, needs 55.0 %; net edge +1 %",
        "and 2 more",
    ]


def test_yesterday_is_counted_against_the_base_rate() -> None:
    settled = [
        decided("A", 0.6, "buy", outcome=1, realized_return=0.02),
        decided("B", 0.6, "buy", outcome=0, realized_return=0.0001),
        decided("C", 0.3, "sell", outcome=0, realized_return=-0.02),
        decided("D", 0.3, "sell", outcome=0, realized_return=0.0),
        decided("E", 0.4, "hold", outcome=0, realized_return=0.0),
        decided("F", 0.4, "hold", outcome=1, realized_return=0.05),
        decided("G", 0.4, None, outcome=0, realized_return=0.05),  # from before decisions were recorded
    ]
    found = outcomes(DAY, settled, 0.4)
    assert found is not None
    assert (found.count, found.right, found.base_right) == (7, 4, 5)
    assert found.brier == pytest.approx((0.16 + 0.36 + 0.09 + 0.09 + 0.16 + 0.36 + 0.16) / 7)
    assert found.base_brier == pytest.approx((2 * 0.36 + 5 * 0.16) / 7)
    head, lines, answer = said(3, outcomes=found, waiting=2)
    assert (head, answer.tone) == ("Yesterday: 4 of 7 right, by the base rate 5", "bad")
    assert lines == [
        "The base rate (40.0 % rise beyond cost, so each does not): 5 right",
        "Brier score 0.1971, of the base rate 0.2171: better",
        "2 decisions since then without outcome yet",
    ]
    rising = outcomes(DAY - timedelta(days=3), settled, 0.6)
    assert said(3, outcomes=rising)[0] == "2026-11-23: 4 of 7 right, by the base rate 2"
    unknown = outcomes(DAY + timedelta(days=1), settled, None)
    assert said(3, outcomes=unknown)[:2] == ("Today: 4 of 7 right", ["Brier score 0.1971"])
    assert said(3, waiting=1)[:2] == ("No decision has its outcome yet", ["1 decision without outcome yet"])


def test_money_is_summed_over_days_and_markets() -> None:
    days = [Gains(2, 1, 0.01), Gains(3, 1, -0.03, -0.02, -0.03, 1, 3)]
    by_market = [(Ref("market", f"x:{n}", n), gain) for n, gain in (("A", 0.02), ("B", -0.05), ("C", 0.0), ("D", 0.01))]
    found = money(days, by_market)
    assert found.curve == (0.0, 0.01, pytest.approx(-0.02))
    head, lines, answer = said(4, money=found)
    assert (head, answer.tone) == ("1 d -2.00 % · 7 d -3.00 % · all -2.00 %", "bad")
    assert lines == [
        "2 of 5 entries gained. Of equity, before costs",
        "Most: A +2.00 %, D +1.00 %",
        "Least: B -5.00 %",
    ]
    quiet = said(4, money=money(days[:1], []))
    assert quiet[0] == "1 d – · 7 d – · all +1.00 %", "nothing ended lately: that is no gain of 0"
    nothing = said(4)
    assert (nothing[0], nothing[2].curve) == ("Nothing that was entered has its outcome yet", ())


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=80))
def test_a_curve_stays_in_its_picture_and_keeps_its_order(values: list[float]) -> None:
    points = [tuple(map(float, one.split(","))) for one in polyline(values, 240, 36).split()]
    assert len(points) == len(values)
    assert all(-0.1 <= x <= 240.1 and -0.1 <= y <= 36.1 for x, y in points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    highest = max(range(len(values)), key=values.__getitem__)
    assert points[highest][1] == min(y for _, y in points)
    assert polyline(values[:1], 240, 36) == ""


def test_long_lists_of_names_are_counted() -> None:
    refs = [Ref("market", str(n), f"M{n}") for n in range(6)]
    assert plain(listed(refs)) == "M0, M1, M2, M3 and 2 more"
    assert plain(listed(refs[:2])) == "M0, M1"
