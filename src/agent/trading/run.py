"""The two ways to run a trader, by the names their users know: the orchestrator, which closes what it holds at the end,
and the loop agent, which keeps it and finds it again. Both are the same steps; they differ in settings alone."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from agent import identity
from agent.clock import Clock
from agent.errors import AgentError, DatabaseUnavailable, NotFound
from agent.runtime.alerts import Cause
from agent.runtime.keeper import LeaseKeeper
from agent.store.database.engine import Database
from agent.store.trading import account
from agent.store.trading.account import Opening
from agent.trading import providers, rules
from agent.trading.config import TradingAgentConfig
from agent.trading.feed import Feed
from agent.trading.kill_switch import KillState
from agent.trading.monitor import Monitor
from agent.trading.pairs import traded_and_watched
from agent.trading.platform import Platform, Unreachable
from agent.trading.platforms.paper import PaperPlatform
from agent.trading.rule import Rule
from agent.trading.states.orders import OrderState
from agent.trading.states.permissions import Reason
from agent.trading.steps import closing, cycle, monitoring, telling
from agent.trading.steps.cycle import Done
from agent.trading.steps.desk import Desk, Wait, in_flight, state_by
from agent.trading.steps.execute import LISTED_LATE
from agent.trading.steps.recover import compare, recover
from agent.trading.steps.saying import rehearsed, sentence, words_on
from pipelines.errors import LakeError
from pipelines.values import dataclass

LEASE_SECONDS = 60.0
_MOST_READS = 5  # of the platform at start
_UNREAD_BEFORE_REDUCING = 3  # readings of it that failed in a row
_MOST_FAILURES = 5  # cycles in a row in which every market failed
_LATE_CYCLES = 3  # a loop that is so many times late is not one that trades


@dataclass(frozen=True)
class Start:
    """What a start is given. cash: what a new paper account begins with. platform: where it trades; None: a paper
    account. rules: others than all there are. asks_for: what an entry asks for before the rules, in equities. tells:
    gets what is worth a message, and keys of what is over, see `steps.telling`."""

    database: Database
    feed: Feed
    clock: Clock
    config: TradingAgentConfig
    home: Path | None = None
    account_ref: str = "main"
    cash: Decimal = field(default=Decimal(10_000))
    mode: str = "paper"
    platform: Platform | None = None
    rules: Sequence[Rule] | None = None
    asks_for: Decimal = field(default=Decimal(1))
    tells: Callable[[Sequence[Cause], Sequence[str], datetime], None] | None = None


class Trader:
    """A trader that has its account. Use it as a block: the lease is given back at its end."""

    def __init__(self, start: Start) -> None:
        self._start = start
        config, feed = start.config, start.feed
        markets, watched = traded_and_watched(config.asset_pairs, config.watchlist, feed.listings())
        platform = start.platform or PaperPlatform(start.database, start.account_ref, feed, start.clock, start.cash)
        values = json.loads(json.dumps(asdict(config)))
        opening = Opening(
            name=", ".join(markets)[:100],
            mode=start.mode,
            platform=platform.name,
            account_ref=start.account_ref,
            config=values,
            config_hash=hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest(),
            equity=start.cash,
        )
        sys.audit("tidemill.point", "trader.opening")
        held = account.open_account(start.database, opening, identity.own(), LEASE_SECONDS, start.clock.now())
        sys.audit("tidemill.point", "trader.opened")
        self.desk = Desk(
            database=start.database,
            held=held,
            config=config,
            mode="dry_run",
            platform=platform,
            feed=feed,
            clock=start.clock,
            rules=rules.load() if start.rules is None else start.rules,
            providers=providers.load(),
            markets=markets,
            watched=watched,
            home=start.home,
            asks_for=start.asks_for,
        )
        self.failed_at: list[datetime] = []  # cycles in a row in which every market failed
        self._unread = 0
        self._compared_at: datetime | None = None  # when books and platform were last compared, or that was tried
        self._compared_all_at: datetime | None = None
        self._summed_up: datetime | None = None
        self._monitor: Monitor | None = None
        self.turn = threading.RLock()  # of the loop, or the monitor
        self._keeper = LeaseKeeper(start.database, f"account {start.account_ref}", (held.lease,), LEASE_SECONDS)

    def __enter__(self) -> Trader:
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.stop()
        account.close_account(self.desk.database, self.desk.held)

    def start(self, wait: Wait) -> None:
        """Recover before the first cycle; a platform that cannot be read is read again five times, each time after
        twice as long. Raises Unreachable when it cannot be read then, AgentError where something waits for a person."""
        for number in range(_MOST_READS):
            with suppress(Unreachable):
                self.recover()
                return
            if not wait(self.desk.config.recovery_retry_seconds * 2**number):
                break
        self.recover()

    def recover(self) -> None:
        """Compare books and platform at start. Raises AgentError where something waits for a person, Unreachable where
        not all could be read."""
        with self.turn:
            self._compared_at = self.desk.clock.now()
            blocking = recover(self.desk)
            self._compared_all_at = self._compared_at
        if blocking:
            what, fix = words_on(blocking)
            raise AgentError(what, where="discrepancies", fix=fix)

    def compare(self) -> None:
        """Compare books and platform at work: what waits for a person opens nothing until they have said, and what
        closes other positions goes on. Once a day, and where the last day shows a difference, all there ever was is
        compared. Raises Unreachable where not all could be read."""
        with self.turn:
            now = self._compared_at = self.desk.clock.now()
            in_short = self._compared_all_at is not None and now - self._compared_all_at < LISTED_LATE
            compare(self.desk, in_short=in_short)
            if not in_short:
                self._compared_all_at = now
            self._unread = 0
            self._hold({Reason.UNREADABLE: None})

    def _is_time_to_compare(self) -> bool:
        """Whether books and platform were last compared a while ago. Where time stands still there is nothing new."""
        seconds = self.desk.config.reconciliation_seconds
        last = self._compared_at
        return last is not None and (self.desk.clock.now() - last).total_seconds() >= seconds

    @property
    def analysis_failures(self) -> int:
        """Cycles in a row in which every market failed."""
        return len(self.failed_at)

    @property
    def initial_cash(self) -> Decimal:
        """What a new paper account begins with."""
        return self._start.cash

    @property
    def kill_switch_triggered(self) -> bool:
        """Whether the switch fired and nobody has reset it."""
        return closing.state_of(self.desk) is not KillState.ARMED

    def process_cycle(self, *, wait: Wait | None = None) -> Done:
        """One cycle; whether every market failed is counted, and five such cycles in a row pause what opens."""
        with self.turn:
            self._hold({**self._watched(), **self._refreshed()})
            try:
                if self._is_unsure() or self._unread:
                    self.compare()
                done = cycle.process_cycle(self.desk, wait=wait)
            except Unreachable as error:
                done = self._failed(error)
        if done.is_killed:
            return done
        self.failed_at = [] if done.is_good else [*self.failed_at, self.desk.clock.now()]
        words = f"{self.analysis_failures} cycles in a row in which every market failed"
        if self.analysis_failures == _MOST_FAILURES:
            with self.desk.step("run.failures") as conn:
                account.set_reason(conn, self.desk.agent_id, str(Reason.ANALYSIS_FAILURES), words, state_by)
        if done.is_good:
            self._release()
        return done

    def refresh(self) -> None:
        """Go by the current release; where it cannot be read by the one before, which opens nothing."""
        self._hold(self._refreshed())

    def _refreshed(self) -> dict[Reason, str | None]:
        words = None
        try:
            self.desk.feed.refresh()
        except (LakeError, NotFound) as error:
            words = f"the current release cannot be read ({error.what}); exits go by {self.desk.feed.release.name}"
        return {Reason.RELEASE_UNREADABLE: words}

    def _failed(self, error: Unreachable) -> Done:
        """A cycle in which the platform could not be read: nothing changes, and after three of them nothing is opened
        until it can be read again."""
        self._count_unread(error)
        with self.desk.database.reading() as connections:
            number = account.load(connections.project, self.desk.agent_id)["cycle"]
        return Done(cycle=number, failed=dict.fromkeys(self.desk.markets, str(error)))

    def _count_unread(self, error: Unreachable) -> None:
        self._unread += 1
        if self._unread == _UNREAD_BEFORE_REDUCING:
            with self.desk.step("run.unread") as conn:
                words = f"{self._unread} readings of the platform in a row failed: {error}"
                account.set_reason(conn, self.desk.agent_id, str(Reason.UNREADABLE), words, state_by)

    def _release(self) -> None:
        """After a good cycle: what failed or was late holds nothing back any longer, whoever wrote it down."""
        self._unread = 0
        self._hold(dict.fromkeys((Reason.UNREADABLE, Reason.ANALYSIS_FAILURES, Reason.LOOP_LATE)))

    def look(self) -> bool:
        """What the monitor does between two cycles; whether the kill switch fired. Books and platform are compared
        where it is time, and at once where the platform could not be read before; what cannot be read says nothing, and
        keeps nothing from being measured."""
        with self.turn:
            if self._unread or self._is_time_to_compare():
                try:
                    self.compare()
                except Unreachable as error:
                    self._count_unread(error)
            with suppress(Unreachable):
                return monitoring.tick(self.desk)
        return False

    def is_woken(self) -> bool:
        """Whether the loop has something to do before its time: a pipeline run published a release, or everything is to
        be closed. Rows say so: whoever looks late misses nothing."""
        with suppress(DatabaseUnavailable):  # away: the next cycle says so
            return self.kill_switch_triggered or self.desk.kill_file() is not None or self.desk.feed.is_outdated()
        return False

    def monitor(self) -> Monitor:
        """A thread that looks while the loop waits, see `look`."""
        config = self.desk.config
        self._monitor = Monitor(
            self.look,
            lambda: self.desk.kill_file() is not None or self._is_time_to_compare(),
            config.monitoring_frequency_seconds,
            self.turn,
            self._say_late,
            _LATE_CYCLES * config.analysis_frequency_seconds,
            self.tell,
        )
        return self._monitor

    def tell(self) -> None:
        """Let people know what they should."""
        if self._start.tells is not None:
            now = self.desk.clock.now()
            self._start.tells(*telling.news_of(self.desk, self._summed_up), now)
            self._summed_up = telling.day_to_sum_up(now)

    def _say_late(self) -> None:
        """The monitor's word: the loop hangs. It takes it back itself, once it goes on."""
        words = f"a cycle has taken longer than {_LATE_CYCLES} times the time between two"
        self._hold({Reason.LOOP_LATE: words})

    def end_watch(self) -> None:
        """The loop is over, and so it does not hang: what the monitor may have said of it last is taken back."""
        with suppress(DatabaseUnavailable):
            self._hold({Reason.LOOP_LATE: None})

    def _watched(self) -> dict[Reason, str | None]:
        """The loop's word about itself and the monitor."""
        is_gone = self._monitor is not None and self._monitor.is_gone
        words = "nobody looks between two cycles: see the log, and start it again" if is_gone else None
        return {Reason.LOOP_LATE: None, Reason.MONITOR_GONE: words}

    def _hold(self, reasons: Mapping[Reason, str | None]) -> None:
        """Write down why each of these holds the trader back, or (None) that it does no longer."""
        with self.desk.database.reading() as connections:
            held = account.load(connections.project, self.desk.agent_id)["trading_reason"] or {}
        changed = {reason: words for reason, words in reasons.items() if held.get(str(reason)) != words}
        if changed:
            with self.desk.step("run.watch") as conn:
                for reason, words in changed.items():
                    account.set_reason(conn, self.desk.agent_id, str(reason), words, state_by)

    def _is_unsure(self) -> bool:
        """Whether there is an order of which nobody knows whether the platform has it."""
        with self.desk.database.reading() as connections:
            flying = in_flight(connections.project, self.desk.agent_id)
        return any(one.status in (OrderState.SENDING, OrderState.UNKNOWN) for one in flying)

    def close_everything(self, wait: Wait | None = None) -> KillState:
        """One step of what the kill switch does, see `closing.advance`, and what people are told of it."""
        with self.turn:
            self.refresh()
            state = closing.advance(self.desk, wait)
        self.tell()
        return state


def run(
    trader: Trader,
    *,
    wait: Wait,
    told: Callable[[str], None],
    most_cycles: int | None = None,
    test_mode: bool = False,
) -> int:
    """Recover, then cycle after cycle until `wait` says to stop, or `most_cycles` are over, the monitor beside it;
    returns the exit code: 1 where the kill switch fired. test_mode: the platform is only looked at; where the switch
    would fire, or has, that is said."""
    trader.desk = replace(trader.desk, sends=not test_mode)
    is_bounded = most_cycles is not None
    is_killed, count, fired = trader.kill_switch_triggered, 0, None
    if not is_killed:
        try:
            trader.start(wait)
        finally:
            trader.tell()
    with nullcontext() if is_killed or test_mode else trader.monitor():
        while not is_killed and (most_cycles is None or count < most_cycles):
            done = _cycle(trader, wait)
            count += 1
            if isinstance(done, Done):
                is_killed, fired = done.is_killed, done.fired
            if not (is_killed and test_mode):
                told(sentence(done) if isinstance(done, Done) else f"No cycle: {done.what}; {done.fix}.")
            if is_killed or count == most_cycles:
                break
            goes_on = _waited(trader, wait, pause_after(done, trader.desk.config))
            is_killed = _has_fired(trader)
            if not goes_on:
                break
    trader.end_watch()
    if is_killed and test_mode:
        told(rehearsed(closing.state_of(trader.desk), fired))
        return 1
    config = trader.desk.config
    closes = config.on_exit == "close" or (config.closes_on_exit and not is_bounded)
    if closes and not is_killed and not test_mode:
        with trader.turn:
            is_killed = not closing.close_positions(trader.desk)
    if not is_killed:
        return 0
    # As far as the market lets us: what is left goes on at the next start.
    state = closing.until_flat(trader.desk, lambda: trader.close_everything(wait), wait, is_bounded=is_bounded)
    told(f"The kill switch is {state}. `agent kill-switch` says why; a person resets it.")
    return 1


def _cycle(trader: Trader, wait: Wait) -> Done | DatabaseUnavailable:
    """One cycle; or why there was none, where the database was away: what was not committed is done again."""
    try:
        done = trader.process_cycle(wait=wait)
        return replace(done, is_killed=True) if trader.kill_switch_triggered else done
    except DatabaseUnavailable as error:
        return error


def pause_after(done: Done | DatabaseUnavailable, config: TradingAgentConfig) -> float:
    """Seconds until the next cycle: after one that failed as a whole main_loop_error_backoff_seconds."""
    failed = isinstance(done, DatabaseUnavailable) or not done.is_good
    return config.main_loop_error_backoff_seconds if failed else config.analysis_frequency_seconds


def _has_fired(trader: Trader) -> bool:
    """Whether everything is to be closed; a database that is away does not say so, and the next cycle asks again."""
    with suppress(DatabaseUnavailable):
        return trader.kill_switch_triggered
    return False


def _waited(trader: Trader, wait: Wait, left: float) -> bool:
    """Wait so many seconds for the next cycle, less where something wakes the loop; whether to go on."""
    while left > 0 and not trader.is_woken():
        pause = min(left, trader.desk.config.monitoring_frequency_seconds)
        if not wait(pause):
            return False
        left -= pause
    return True
