"""Our ids of orders, and what a fill means for one."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest

from agent.trading.states.orders import OrderEvent, client_order_id, fill_event, is_ours

D = Decimal


def test_an_id_is_made_from_the_order_alone_and_fits_every_platform() -> None:
    made = client_order_id("0b0e7f0c-0000-5000-8000-000000000000", "open", 0)
    assert made == client_order_id("0b0e7f0c-0000-5000-8000-000000000000", "open", 0)
    assert made == "tmhochnq3adxtjnvhd", "orders that are out there have these ids"
    assert made.isascii()
    assert made.isalnum()
    assert len(made) == 18


def test_different_orders_have_different_ids() -> None:
    parts = list(product(("d", "d1"), ("open", "stop", "kill"), (0, 1, 11), ("", "m", "1m")))
    assert len({client_order_id(*one) for one in parts}) == len(parts)


def test_ours_are_told_from_others() -> None:
    assert is_ours(client_order_id("d", "kill", 3, "m"))
    assert not any(is_ours(one) for one in (None, "", "tm", "x-freqtrade-000000", "tm1"))


@pytest.mark.parametrize(
    ("filled", "dust", "event"),
    [
        ("9.9", "0", OrderEvent.PART_FILL),
        ("10", "0", OrderEvent.FULL_FILL),
        ("10.00000001", "0", OrderEvent.OVERFILL),
        ("9.99999999", "0.00000001", OrderEvent.FULL_FILL),
        ("10.00000001", "0.00000001", OrderEvent.FULL_FILL),
        ("10.00000002", "0.00000001", OrderEvent.OVERFILL),
        ("9.99999998", "0.00000001", OrderEvent.PART_FILL),
    ],
)
def test_dust_is_neither_missing_nor_too_much(filled: str, dust: str, event: OrderEvent) -> None:
    assert fill_event(D(10), D(filled), D(dust)) is event
