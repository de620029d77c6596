"""A trader under torture: its account on paper or at a venue, its processes, and what must hold after each of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from agent.store.database.engine import Database, open_engine, reading, writing
from agent.store.trading import account, booking, orders, paper
from agent.trading import person
from agent.trading.states.orders import FINAL
from agent.trading.states.permissions import Reason
from agent.trading.steps.desk import state_by
from agent.trading.testing import Venue, VenueServer, serving
from tests.paper import MARKET, D
from tests.processes import Nursery, Process
from tests.torture.faults import read_log
from tests.torture.trader_process import CASH, Asked, SharedClock, feed, new_clock
from tests.venue import require_agreement

Kind = Literal["paper", "venue"]


@dataclass
class TradingFloor:
    """One account of one database."""

    folder: Path
    url: str
    nursery: Nursery
    kind: Kind
    name: str = "main"
    count: int = 0
    server: VenueServer | None = None
    started: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.engine = open_engine(self.url)
        self.clock: SharedClock = new_clock(self.folder / "clock")

    @property
    def database(self) -> Database:
        return Database(self.engine, self.engine)

    @property
    def venue(self) -> Venue:
        assert self.server is not None, "it trades on paper"
        return self.server.venue

    @property
    def kill_file(self) -> Path:
        return self.folder / "KILL"

    @property
    def log(self) -> Path:
        return self.folder / "points"

    # --- processes -----------------------------------------------------------------------------------------------

    def start(self, fault: dict[str, Any] | None = None, **asked: Any) -> Process:
        """Start the trader; `fault` as in tests.torture.faults."""
        self.count += 1
        what = Asked(
            url=self.url,
            clock=str(self.folder / "clock"),
            account=self.name,
            home=str(self.folder),
            venue=None if self.server is None else self.server.url,
            **asked,
        )
        env = {}
        if fault is not None:
            given = {"nth": 1, "do": "note", "point": "", "log": str(self.log), **fault}
            env["TIDE_FAULT"] = json.dumps(given)
        output = self.folder / f"output{self.count:05}.txt"
        process = self.nursery.start(self.folder, "trader", (json.dumps(asdict(what)),), output, env)
        self.started.append(process)
        return process

    def run(self, *codes: int, **asked: Any) -> int:
        """A process that nothing disturbs; it ends with one of `codes`."""
        process = self.start(**asked)
        status = process.wait()
        assert status in (codes or (0,)), f"exit {status}:\n{process.said()}"
        return status

    def passed(self) -> list[str]:
        """The points that a process with a fault has passed."""
        return read_log(self.log)

    def kill_all(self) -> None:
        for process in self.started:
            if not process.is_over:
                process.kill()
                process.wait()
        self.engine.dispose()

    # --- the account ---------------------------------------------------------------------------------------------

    def agent(self) -> dict[str, Any] | None:
        """Its row, None where no process came so far."""
        with reading(self.engine) as conn:
            found = conn.execute(account.open_row(self.kind, self.name)).mappings().one_or_none()
        return None if found is None else dict(found)

    def forget_lease(self) -> None:
        """A dead process's lease ends: its time is over. Tests do not wait for it."""
        agent = self.agent()
        if agent is not None and agent["lease_owner"] is not None:
            with writing(self.engine) as conn:
                account.update(conn, agent["id"], lease_owner=None, lease_expires_at=None)

    def deposit(self, amount: int) -> None:
        """Cash comes in, or at a venue goes out (below 0)."""
        if self.kind == "venue":
            self.venue.deposit(f"deposit-{len(self.venue.movements)}", D(amount))
        else:
            paid = {"external_id": f"deposit-{self.count}", "kind": "deposit", "amount": D(amount), "reason": "torture"}
            with writing(self.engine) as conn:
                paper.pay(conn, self.name, {**paid, "ts": self.clock.now()})

    def hold_back(self, reason: Reason, words: str | None = "torture") -> None:
        """Write a reason down that holds the trader back, or (None) take it away."""
        agent = self.agent()
        if agent is not None:
            with writing(self.engine) as conn:
                account.set_reason(conn, agent["id"], str(reason), words, state_by)

    def resume(self) -> None:
        """Take away what the loop agent's own pause holds back."""
        self.hold_back(Reason.MONITOR, None)

    def recover(self) -> None:
        """The processes that come after a kill: until it is flat where the switch fired, then as always. What stands
        in the books is what the platform says, and a second reconciliation changes nothing."""
        self.forget_lease()
        for _ in range(12):
            if self._fired() is None and not self.kill_file.exists():
                break
            self.clock.pass_hour()  # what closes on paper fills at the next bar
            self.run(1, mode="cycles")
            self._reset()
        self.run(0, mode="settle", cycles=1)
        self.require_sound()
        agent = self.agent()
        assert agent is not None
        assert agent["trading_state"] == "active", agent["trading_reason"]

    def _fired(self) -> dict[str, Any] | None:
        with reading(self.engine) as conn:
            return account.standing_kill(conn, self.kind, self.name)

    def _reset(self) -> None:
        """A person lets it trade again, as soon as it is flat."""
        kill, agent = self._fired(), self.agent()
        if kill is None or agent is None or kill["state"] not in ("flat", "stuck"):
            return
        with writing(self.engine) as conn:
            person.reset(conn, agent, reason="torture", by="torture", now=self.clock.now(), accepting=True)

    # --- what must hold ------------------------------------------------------------------------------------------

    def require_sound(self) -> None:
        """No client id twice, no orphan, cash and positions to the last place, trades that sum to what was made."""
        agent = self.agent()
        assert agent is not None
        with reading(self.engine) as conn:
            fills = booking.fills_of(conn, self.kind, self.name)
            held = {one["market_id"]: one for one in booking.positions_of(conn, agent["id"])}
            rows = orders.of_agent(conn, agent["id"])
            newest = booking.newest_equity(conn, agent["id"])
            trades = booking.trades_of(conn, agent["id"])
        assert newest is not None
        known = {one["client_order_id"]: one for one in rows}
        if self.kind == "venue":
            self._require_venue(fills, newest["cash"], known)
            quantity = self.venue.holdings.get((MARKET, ""), D(0))
        else:
            quantity = self._require_paper(fills, newest["cash"], known)
        mine = held.get(MARKET)
        assert (D(0) if mine is None else mine["quantity"]) == quantity, "a position that the books do not have"
        if mine is not None and not mine["quantity"]:
            assert sum((one["pnl"] for one in trades), D(0)) == mine["realized"] - mine["fees"] or trades

    def _require_venue(self, fills: list[dict[str, Any]], cash: Any, known: dict[str, Any]) -> None:
        assert self.server is not None
        with self.venue.lock:
            require_agreement(self.venue, fills, cash)
            created = Counter(self.server.created())
            placed = Counter(one.client_order_id for one in self.venue.orders)
            assert not [name for name, times in (created + placed).items() if created[name] > 1 or placed[name] > 1]
            for one in self.venue.orders:
                row = known[one.client_order_id]  # KeyError: an orphan
                assert row["filled_quantity"] == one.filled, (row, one)
                assert (row["status"] in FINAL) == (one.status != "open"), (row, one)

    def _require_paper(self, fills: list[dict[str, Any]], cash: Any, known: dict[str, Any]) -> Any:
        with reading(self.engine) as conn:
            listed = paper.orders_of(conn, self.name)
            theirs = paper.fills_of(conn, self.name, None)
            paid = paper.movements_of(conn, self.name)
        assert {one["platform_fill_id"] for one in fills} == {one["fill_id"] for one in theirs}
        signed = [(1 if one["side"] == "buy" else -1, one) for one in theirs]
        spent = sum((sign * one["quantity"] * one["price"] + one["fee"] for sign, one in signed), D(0))
        assert abs(cash - (sum((one["amount"] for one in paid), D(0)) - spent)) < D("1e-12")
        for one in listed:
            row = known[one["client_order_id"]]
            assert row["filled_quantity"] == one["filled"], (row, one)
            assert (row["status"] in FINAL) == (one["status"] != "open"), (row, one)
        return sum((sign * one["quantity"] for sign, one in signed), D(0))


@contextmanager
def trading_floor(
    folder: Path, url: str, nursery: Nursery, kind: Kind, name: str = "main", **changes: Any
) -> Iterator[TradingFloor]:
    """An account with nothing in it."""
    with ExitStack() as stack:
        made = TradingFloor(folder, url, nursery, kind, name)
        if kind == "venue":
            feed()
            venue = Venue(now=made.clock.now, name=name, cash=CASH, quotes={MARKET: (D("99.9"), D("100.1"))}, **changes)
            made.server = stack.enter_context(serving(venue))
        try:
            yield made
        finally:
            made.kill_all()
