"""What every platform must do, as tests to inherit; and what a remote one must do whatever its venue does.

Each test ends with the same three questions: do the books balance, was anything placed twice, and was there an end. A
suite's rows carry the numbers of the list of conformance in docs/trading.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Protocol

import pytest

from agent.amounts import less, times, total
from agent.trading.model import ZERO, Key, Order, Purpose, Side
from agent.trading.platform import Accepted, Platform, Refused, Unclear, Unreachable
from agent.trading.reconcile.facts import Snapshot
from agent.trading.states.orders import OrderState, client_order_id
from agent.trading.testing.server import Fault, VenueServer, What

_ENOUGH_SECONDS = 60.0  # of a test, on a machine that does other things as well
_PATIENT, _SHORT = 10.0, 0.1  # seconds of a request: of one that must succeed, and of one that must not
_SLOW = frozenset({"late", "drip"})


class PlatformScene(Protocol):
    """An account with cash at a market that is open. slice: how much of an order each `fill` executes."""

    platform: Platform
    market: str
    slice: Decimal
    cash: Decimal

    def now(self) -> Any: ...

    def fill(self, order: Order) -> None:
        """Let the market execute `slice` of an order that rests."""

    def close_market(self) -> None: ...


class PlatformSuite:
    """Inherit, and give a `scene`: a fixture of a PlatformScene in which new orders rest until `fill`."""

    @pytest.fixture(autouse=True)
    def _ends_well(self, scene: PlatformScene) -> Iterator[None]:
        began = time.monotonic()
        yield
        require_balance(scene)
        assert time.monotonic() - began < _ENOUGH_SECONDS, "a platform waits without an end"

    def order(self, scene: PlatformScene, quantity: Decimal, *, side: Side = "buy", name: str = "one") -> Order:
        """An order at the market."""
        return order_of(scene, quantity, side=side, name=name)

    def test_1_an_order_is_accepted_and_fills(self, scene: PlatformScene) -> None:
        order = self.order(scene, scene.slice)
        assert isinstance(scene.platform.submit(order), Accepted)
        assert self.status(scene, order) == ("open", ZERO)
        scene.fill(order)
        assert self.status(scene, order) == ("filled", scene.slice)
        assert [one.client_order_id for one in scene.platform.fills(None)] == [order.client_order_id]

    def test_2_an_order_fills_in_parts(self, scene: PlatformScene) -> None:
        order = self.order(scene, times(scene.slice, Decimal(2)))
        scene.platform.submit(order)
        scene.fill(order)
        assert self.status(scene, order) == ("open", scene.slice)
        scene.fill(order)
        assert self.status(scene, order) == ("filled", order.quantity)
        assert total(one.quantity for one in scene.platform.fills(None)) == order.quantity

    def test_3_what_is_cancelled_keeps_what_was_filled(self, scene: PlatformScene) -> None:
        order = self.order(scene, times(scene.slice, Decimal(3)))
        scene.platform.submit(order)
        scene.fill(order)
        assert scene.platform.cancel(order.client_order_id)
        assert self.status(scene, order) == ("cancelled", scene.slice)

    def test_4_and_24_a_closed_market_refuses_in_words(self, scene: PlatformScene) -> None:
        scene.close_market()
        said = scene.platform.submit(self.order(scene, scene.slice))
        assert isinstance(said, Refused)
        assert said.code
        assert said.text

    def test_21_a_filled_order_that_is_cancelled_stays_filled(self, scene: PlatformScene) -> None:
        order = self.order(scene, scene.slice)
        scene.platform.submit(order)
        scene.fill(order)
        assert scene.platform.cancel(order.client_order_id)
        assert self.status(scene, order) == ("filled", scene.slice)

    def test_an_order_that_was_never_placed_is_none(self, scene: PlatformScene) -> None:
        assert scene.platform.order(self.order(scene, scene.slice).client_order_id) is None

    def test_a_snapshot_says_all_and_nothing_twice(self, scene: PlatformScene) -> None:
        first = self.order(scene, scene.slice)
        scene.platform.submit(first)
        scene.fill(first)
        resting = self.order(scene, scene.slice, name="two")
        scene.platform.submit(resting)
        said = scene.platform.snapshot({first.client_order_id}, None)
        assert said.is_complete
        assert _quantities(said) == {(scene.market, ""): scene.slice}
        statuses = {one.client_order_id: one.status for one in said.orders}
        assert statuses == {first.client_order_id: "filled", resting.client_order_id: "open"}
        again = scene.platform.snapshot({first.client_order_id}, None)
        assert (again.fills, again.movements, again.cash) == (said.fills, said.movements, said.cash)

    def test_a_snapshot_since_a_moment_has_all_that_is_held_and_no_older_fill(self, scene: PlatformScene) -> None:
        order = self.order(scene, times(scene.slice, Decimal(2)))
        scene.platform.submit(order)
        scene.fill(order)
        scene.fill(order)
        whole = scene.platform.snapshot((), None)
        newest = max(one.ts for one in whole.fills)
        said = scene.platform.snapshot({order.client_order_id}, newest)
        assert [one.ts for one in said.fills] == [newest]
        assert (said.cash, _quantities(said)) == (whole.cash, _quantities(whole))
        assert [one for one in whole.movements if one.ts >= newest] == list(said.movements)
        assert [one.status for one in said.orders] == ["filled"]

    def test_fills_since_a_moment_are_those_from_it_on(self, scene: PlatformScene) -> None:
        order = self.order(scene, times(scene.slice, Decimal(2)))
        scene.platform.submit(order)
        scene.fill(order)
        scene.fill(order)
        first, second = scene.platform.fills(None)
        assert list(scene.platform.fills(second.ts)) == [second]
        assert list(scene.platform.fills(first.ts)) == [first, second]

    def status(self, scene: PlatformScene, order: Order) -> tuple[str, Decimal]:
        """What the platform says of an order: its status, and how much is filled."""
        found = scene.platform.order(order.client_order_id)
        assert found is not None, "the order is not there"
        assert (found.side, found.quantity) == (order.side, order.quantity)
        return found.status, found.filled


class RemoteScene(PlatformScene, Protocol):
    """One whose venue is a VenueServer."""

    server: VenueServer

    def pass_time(self, seconds: float) -> None: ...

    def wait_at_most(self, seconds: float) -> None:
        """How long a whole request may take from now on."""


class RemotePlatformSuite(PlatformSuite):
    """For platforms that ask a venue over a network: a fault is an answer, and never a second order."""

    @pytest.mark.parametrize(
        ("what", "does_it"),
        [
            pytest.param("reset", False, id="6-reset-before"),
            pytest.param("reset", True, id="7-reset-after"),
            pytest.param("late", True, id="9-late"),
            pytest.param("500", True, id="10-500-placed"),
            pytest.param("500", False, id="11-500"),
            pytest.param("html", False, id="13-html"),
            pytest.param("html", True, id="13-html-placed"),
            pytest.param("truncated", True, id="14-truncated"),
            pytest.param("drip", True, id="15-drip"),
            pytest.param("503", False, id="28-maintenance"),
        ],
    )
    def test_a_reply_that_is_none_is_unclear_and_asking_tells(
        self, scene: RemoteScene, what: What, does_it: bool
    ) -> None:
        order = self.order(scene, scene.slice)
        scene.server.faults.append(Fault(what, "POST", "/orders", does_it=does_it, seconds=3.0))
        scene.wait_at_most(_SHORT if what in _SLOW else _PATIENT)
        assert isinstance(scene.platform.submit(order), Unclear)
        scene.wait_at_most(_PATIENT)
        found = scene.platform.order(order.client_order_id)
        assert (found is not None) == does_it
        assert scene.server.created() == [order.client_order_id], "a request to place an order is never repeated"

    @pytest.mark.parametrize(
        ("what", "code"),
        [
            pytest.param("429", "rate_limit", id="12-429"),
            pytest.param("clock", "timestamp", id="22-clock"),
            pytest.param("401", "unauthorized", id="23-revoked"),
        ],
    )
    def test_a_refusal_is_final(self, scene: RemoteScene, what: What, code: str) -> None:
        order = self.order(scene, scene.slice)
        scene.server.faults.append(Fault(what, "POST", "/orders"))
        said = scene.platform.submit(order)
        assert isinstance(said, Refused)
        assert said.code == code
        assert scene.platform.order(order.client_order_id) is None
        assert scene.server.created() == [order.client_order_id]

    @pytest.mark.parametrize("code", ["min_notional", "price_band", "insufficient_funds", "tick_size"])
    def test_4_25_26_27_a_structured_refusal_keeps_its_words(self, scene: RemoteScene, code: str) -> None:
        scene.server.venue.refuses = code
        said = scene.platform.submit(self.order(scene, scene.slice))
        assert isinstance(said, Refused)
        assert said.code == code

    def test_8_our_id_is_on_the_wire_each_time(self, scene: RemoteScene) -> None:
        order = self.order(scene, scene.slice)
        scene.server.venue.deduplicates = True
        first, second = scene.platform.submit(order), scene.platform.submit(order)
        assert first == second
        assert scene.server.created() == [order.client_order_id] * 2
        assert len(scene.server.venue.orders) == 1

    def test_16_an_order_that_is_listed_later_is_none_until_then(self, scene: RemoteScene) -> None:
        scene.server.venue.lists_after = 3.0
        order = self.order(scene, scene.slice)
        assert isinstance(scene.platform.submit(order), Accepted)
        assert scene.platform.order(order.client_order_id) is None
        scene.pass_time(3.0)
        assert self.status(scene, order) == ("open", ZERO)

    @pytest.mark.parametrize("path", ["/orders", "/fills", "/positions", "/account"])
    @pytest.mark.parametrize("what", ["reset", "500", "503", "429", "401", "html", "truncated", "drip", "late"])
    def test_17_28_what_cannot_be_read_is_incomplete_and_never_empty(
        self, scene: RemoteScene, what: What, path: str
    ) -> None:
        order = self.order(scene, scene.slice)
        scene.platform.submit(order)
        scene.fill(order)
        scene.server.faults.append(Fault(what, "GET", path, does_it=True, count=1, seconds=3.0))
        scene.wait_at_most(_SHORT if what in _SLOW else _PATIENT)
        said = scene.platform.snapshot((), None)
        scene.wait_at_most(_PATIENT)
        assert not said.is_complete
        assert said.holdings is None
        assert scene.platform.snapshot((), None).is_complete

    @pytest.mark.parametrize("what", ["reset", "500", "html"])
    def test_17_a_market_that_is_silent_hides_nothing_of_the_account(self, scene: RemoteScene, what: What) -> None:
        order = self.order(scene, scene.slice)
        scene.platform.submit(order)
        scene.fill(order)
        scene.server.faults.append(Fault(what, "GET", "/quotes", does_it=True, count=1))
        said = scene.platform.snapshot((), None)
        assert said.is_complete
        assert said.holdings
        assert (said.silent, said.mids) == (frozenset({order.market_id}), {})
        again = scene.platform.snapshot((), None)
        assert (again.silent, set(again.mids)) == (frozenset(), {order.key})

    def test_17_a_list_that_is_cut_short_is_not_believed(self, scene: RemoteScene) -> None:
        order = self.order(scene, scene.slice)
        scene.platform.submit(order)
        scene.server.venue.is_cut = True
        assert not scene.platform.snapshot((), None).is_complete
        scene.fill(order)
        with pytest.raises(Unreachable):
            scene.platform.fills(None)
        scene.server.venue.is_cut = False

    def test_18_fills_out_of_order_and_twice_come_in_order_and_once(self, scene: RemoteScene) -> None:
        order = self.order(scene, times(scene.slice, Decimal(2)))
        scene.platform.submit(order)
        scene.fill(order)
        scene.pass_time(1.0)
        scene.fill(order)
        rows = scene.server.venue.fills
        rows[:] = [rows[1], rows[0], rows[1]]
        found = scene.platform.fills(None)
        assert [one.fill_id for one in found] == ["f1", "f2"]

    def test_19_20_a_fill_after_the_end_or_beyond_the_quantity_is_reported(self, scene: RemoteScene) -> None:
        order = self.order(scene, scene.slice)
        scene.platform.submit(order)
        assert scene.platform.cancel(order.client_order_id)
        scene.fill(order)
        scene.fill(order)
        assert self.status(scene, order) == ("cancelled", times(scene.slice, Decimal(2)))
        assert len(scene.platform.fills(None)) == 2

    @pytest.mark.parametrize("what", ["reset", "500", "html"])
    def test_a_cancel_without_an_answer_is_not_known(self, scene: RemoteScene, what: What) -> None:
        order = self.order(scene, scene.slice)
        scene.platform.submit(order)
        scene.server.faults.append(Fault(what, "DELETE", "/orders", does_it=True, count=1))
        assert not scene.platform.cancel(order.client_order_id)
        assert scene.platform.cancel(order.client_order_id), "asked again it says that nothing rests"


def order_of(scene: PlatformScene, quantity: Decimal, *, side: Side = "buy", name: str = "one") -> Order:
    """An order at the market as a trader would write it down."""
    purpose: Purpose = "open" if side == "buy" else "exit"
    quote = scene.platform.quote(scene.market)
    assert quote is not None, "the scene has a market"
    return Order(
        client_order_id=client_order_id(name, purpose, 0),
        market_id=scene.market,
        outcome="",
        side=side,
        purpose=purpose,
        type="market",
        time_in_force="gtc",
        quantity=quantity,
        status=OrderState.SENDING,
        prepared_at=scene.now(),
        reference=quote.ask if side == "buy" else quote.bid,
    )


def _quantities(said: Snapshot) -> dict[Key, Decimal]:
    assert said.holdings is not None
    return {key: one.quantity for key, one in said.holdings.items()}


def require_balance(scene: PlatformScene) -> None:
    """What the platform says of cash and positions is what its fills and movements come to."""
    said = scene.platform.snapshot((), None)
    assert said.is_complete
    cash = total(one.amount for one in said.movements)
    held: dict[tuple[str, str], Decimal] = {}
    for fill in said.fills:
        signed = fill.quantity if fill.side == "buy" else fill.quantity.copy_negate()
        held[fill.key] = total((held.get(fill.key, ZERO), signed))
        cash = less(cash, times(signed, fill.price), fill.fee)
    assert said.cash == cash
    assert _quantities(said) == {key: one for key, one in held.items() if one}
    ids = [one.client_order_id for one in said.orders]
    assert len(ids) == len(set(ids)), "one client id stands for two orders"
