"""How fast orders go out: never more than five in a second, and not slower than that."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.trading.rules.order_rate import seconds_until_next
from agent.trading.steps.execute import LAST_LOOK
from tests.unit.trading.test_mutations import look

NOW = datetime.fromisoformat("2026-01-30T12:00:00+00:00")
SECOND = timedelta(seconds=1)


def test_the_sixth_in_a_second_waits_until_the_first_is_a_second_ago() -> None:
    sent = [NOW - timedelta(milliseconds=ago) for ago in (900, 300, 200, 100, 0)]
    assert seconds_until_next(sent, NOW) == 0.1
    assert seconds_until_next(sent[1:], NOW) == 0
    assert seconds_until_next(sent, NOW + timedelta(milliseconds=100)) == 0
    assert seconds_until_next([NOW - SECOND, *sent], NOW) == 0.1


@given(took=st.lists(st.integers(0, 400), max_size=40))
def test_no_second_ever_has_six_and_nobody_waits_without_a_need(took: list[int]) -> None:
    """took: milliseconds that each order took to send."""
    now, sent = NOW, list[datetime]()
    for milliseconds in took:
        pause = seconds_until_next(sent, now)
        near = [one for one in sent if now - SECOND < one]
        assert bool(pause) == (len(near) >= 5)
        now += timedelta(seconds=pause)
        sent.append(now)
        assert sum(now - SECOND < one for one in sent) <= 5
        now += timedelta(milliseconds=milliseconds)


def test_what_closes_never_waits_for_orders_that_are_unclear() -> None:
    def why(**changes: object) -> str | None:
        return LAST_LOOK["unclear"](look(**changes))  # type: ignore[arg-type]  # what it is given

    assert why(unclear=["a", "b", "c"]) is None
    assert why(unclear=["a", "b", "c", "d"]) == "nobody knows yet of 4 orders whether they are there"
    assert why(purpose="stop", unclear=["a", "b", "c", "d", "m"]) is None
