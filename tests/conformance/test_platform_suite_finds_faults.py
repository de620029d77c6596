"""The suite of platforms fails for one that breaks what it promises: one wrong client per promise."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from agent.trading.model import Order
from agent.trading.platform import Refused, Submitted, Unclear, Unreachable
from agent.trading.reconcile.facts import PlatformOrder, Snapshot
from agent.trading.testing import Venue, VenuePlatform, serving
from agent.trading.testing.suite import RemotePlatformSuite
from tests.conformance.test_platforms import CASH, OnVenue, instrument
from tests.paper import MARKET, D, MovedClock


class Repeating(VenuePlatform):
    """Sends an order again where the answer is unclear."""

    def submit(self, order: Order) -> Submitted:
        said = super().submit(order)
        return super().submit(order) if isinstance(said, Unclear) else said


class Hasty(VenuePlatform):
    """Takes no answer for a refusal."""

    def submit(self, order: Order) -> Submitted:
        said = super().submit(order)
        return Refused("failed", said.cause) if isinstance(said, Unclear) else said


class Flat(VenuePlatform):
    """Takes what cannot be read for nothing."""

    def snapshot(self, asked: Collection[str], since: datetime | None) -> Snapshot:
        said = super().snapshot(asked, since)
        return said if said.is_complete else replace(said, is_complete=True, holdings={})


class Forgetful(VenuePlatform):
    """Takes the fills since a moment for all there are."""

    def snapshot(self, asked: Collection[str], since: datetime | None) -> Snapshot:
        said = super().snapshot(asked, since)
        return said if since is None else replace(said, cash=CASH)


class Believing(VenuePlatform):
    """Takes a list that is cut short for the whole."""

    def _rows(self, path: str) -> list[dict[str, Any]]:
        said = self._read(path)
        return [] if said is None else said["rows"]


class Optimistic(VenuePlatform):
    """Says that an order is cancelled because it asked for it."""

    def cancel(self, client_order_id: str) -> bool:
        super().cancel(client_order_id)
        return True


class Raising(VenuePlatform):
    """Raises for an order that is not there."""

    def order(self, client_order_id: str) -> PlatformOrder | None:
        found = super().order(client_order_id)
        if found is None:
            raise Unreachable("it is not there", where="order", fix="none")
        return found


class Anonymous(VenuePlatform):
    """Sends an id of its own."""

    def submit(self, order: Order) -> Submitted:
        return super().submit(replace(order, client_order_id="x" + order.client_order_id))


SUITE = RemotePlatformSuite()
CASES: list[tuple[type[VenuePlatform], Callable[[OnVenue], None]]] = [
    (Repeating, lambda scene: SUITE.test_a_reply_that_is_none_is_unclear_and_asking_tells(scene, "500", False)),
    (Hasty, lambda scene: SUITE.test_a_reply_that_is_none_is_unclear_and_asking_tells(scene, "reset", True)),
    (
        Flat,
        lambda scene: SUITE.test_17_28_what_cannot_be_read_is_incomplete_and_never_empty(scene, "500", "/positions"),
    ),
    (Forgetful, SUITE.test_a_snapshot_since_a_moment_has_all_that_is_held_and_no_older_fill),
    (Believing, SUITE.test_17_a_list_that_is_cut_short_is_not_believed),
    (Optimistic, lambda scene: SUITE.test_a_cancel_without_an_answer_is_not_known(scene, "reset")),
    (Raising, SUITE.test_an_order_that_was_never_placed_is_none),
    (Anonymous, SUITE.test_8_our_id_is_on_the_wire_each_time),
]


@pytest.mark.parametrize(("platform", "test"), CASES, ids=lambda one: getattr(one, "__name__", "test"))
def test_a_platform_that_breaks_a_promise_fails(platform: type[VenuePlatform], test: Callable[[OnVenue], None]) -> None:
    for client in (VenuePlatform, platform):
        clock = MovedClock()
        venue = Venue(now=clock.now, cash=CASH, part=D(0), quotes={MARKET: (D("99.5"), D("100.5"))})
        with serving(venue) as server:
            scene = OnVenue(clock=clock, server=server, platform=client(server.url, clock, instrument))
            if client is VenuePlatform:
                test(scene)
                continue
            with pytest.raises((AssertionError, Unreachable)):
                test(scene)
