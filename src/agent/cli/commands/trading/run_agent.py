"""`agent run-agent`: trades the current release on paper."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from agent import settings as agent_settings
from agent.arguments import instant, number, whole
from agent.cli.output import emit
from agent.cli.replays import replay_text, span_of
from agent.errors import UsageError
from agent.execution.workspace import open_workspace
from agent.runtime.alerts import Cause, tell
from agent.runtime.signals import stop_on_signals
from agent.settings import Settings
from agent.store.database.engine import Database
from agent.store.trading import account
from agent.trading import options as trading_options
from agent.trading import profiles
from agent.trading.agents import AGENTS
from agent.trading.config import Layer, Parsed, parse
from agent.trading.feeds.clocks import FeedClock, ReplayClock
from agent.trading.feeds.columns import TableFeed
from agent.trading.feeds.reading import ReleasedFeed, read_out_of_fold
from agent.trading.replay import replay, stands_at
from agent.trading.run import Start, Trader
from agent.trading.starting import costs_text, require_startable, warnings_of
from pipelines.settings import read_toml

_LOOK_SECONDS = 0.2
HELP = "Trade what the current release decides, on paper: cycle after cycle, or once."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_settings(parser)
    bounded = parser.add_mutually_exclusive_group()
    bounded.add_argument(
        "--once", action="store_true", help="one cycle, then end; positions are kept without --on-exit close"
    )
    bounded.add_argument("--max-cycles", type=whole(1, 10**9), metavar="N", help="so many cycles, then end; as --once")
    parser.add_argument("--test-mode", action="store_true", help="decide and judge, and send nothing")
    parser.add_argument("--print-config", action="store_true", help="print the table of settings and end")
    parser.add_argument(
        "--from",
        dest="since",
        type=instant,
        metavar="TIME",
        help="replay history from this bar's end on (UTC), by forecasts made out of fold, in an account of its own",
    )
    parser.add_argument(
        "--speed",
        type=number(0, 1e9, above=True),
        metavar="X",
        help="with --from: seconds of history in one second; as fast as it goes",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare where settings come from."""
    trading_options.add_options(parser)
    parser.add_argument("--profile", choices=profiles.names(), help="settings that go together; options override them")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings of a file (TOML, section [agent])")


def run(options: argparse.Namespace) -> int:
    """Trade until stopped. Exit code 1 where the kill switch fired or books and platform differ, 2 where settings do
    not let it start, 3 where another process trades the account."""
    parsed = parsed_of(options)
    if options.print_config:
        print(trading_options.table_of(parsed), end="")
        return 0
    mode = agent_settings.load(options.project_dir).trading_mode
    require_startable(parsed.config, mode, test_mode=options.test_mode)
    if options.since is not None:
        return _replay(options, parsed)
    if options.speed is not None:
        raise UsageError("--speed is of a replay", where="--speed", fix="say where history begins: --from TIME")
    with open_workspace(options.project_dir) as workspace:
        feed = ReleasedFeed(workspace.database, workspace.lake)
        start = Start(
            database=workspace.database,
            feed=feed,
            clock=FeedClock(feed),
            config=parsed.config,
            home=workspace.settings.home,
            tells=partial(_message, workspace.settings, workspace.database) if workspace.settings.alerts.urls else None,
        )
        _tell(trading_options.table_of(parsed).rstrip())
        with stop_on_signals() as stop, Trader(start) as trader:
            _say_costs(trader, feed)
            its = AGENTS[parsed.config.agent_type](trader, _tell, lambda: stop() is not None)
            return its.run(options.test_mode, 1 if options.once else options.max_cycles)


def _message(
    settings: Settings, database: Database, present: Sequence[Cause], over: Sequence[str], now: datetime
) -> None:
    """Send messages as `[alerts]` says."""
    tell(settings, database, present, over, now=now, words="The trader is no longer held back by it")


def _replay(options: argparse.Namespace, parsed: Parsed) -> int:
    """Trade history on paper, bar by bar; the same start again goes on where the last one ended."""
    if options.test_mode:
        raise UsageError("a replay sends", where="--test-mode", fix="leave out --from, or --test-mode")
    name = account.replay_name(options.since)
    with open_workspace(options.project_dir) as workspace:
        feed = TableFeed(read_out_of_fold(workspace.database, workspace.lake))
        stood = stands_at(workspace.database, name)
        ends = [one for one in feed.ends(options.since, None) if stood is None or one > stood]
        if not ends:
            raise UsageError(
                "no bar with a forecast ends after that" if stood is None else f"the replay is over: account {name}",
                where="--from",
                fix=f"name an earlier time: {span_of(feed)}",
            )
        clock = ReplayClock(ends[0])
        start = Start(
            database=workspace.database,
            feed=feed,
            clock=clock,
            config=parsed.config,
            home=workspace.settings.home,
            account_ref=name,
        )
        _tell(trading_options.table_of(parsed).rstrip())
        _tell(f"Its books: `agent portfolio --account {name}`, and so on.")
        most = 1 if options.once else options.max_cycles
        with stop_on_signals() as stop, Trader(start) as trader:
            _say_costs(trader, feed)
            found = replay(trader, clock, ends[:most], lambda passed: _paced(passed, options.speed, stop))
        emit(options, found, replay_text(found, feed, trader.desk.markets))
        return 1 if found.killed else 0


def _paced(passed: timedelta, speed: float | None, stop: Callable[[], str | None]) -> bool:
    """Wait as long as `passed` of history takes at this speed, and say whether to go on."""
    ends = time.monotonic() + (0.0 if speed is None else passed.total_seconds() / speed)
    while stop() is None and (left := ends - time.monotonic()) > 0:
        time.sleep(min(_LOOK_SECONDS, left))
    return stop() is None


def parsed_of(options: argparse.Namespace) -> Parsed:
    """Settings from profile, file and flags, the weakest first."""
    layers = [] if options.profile is None else [profiles.load(options.profile)]
    if options.config is not None:
        layers.append(_file(options.config))
    return parse([*layers, trading_options.layer_of(options)])


def _file(path: Path) -> Layer:
    if not path.is_file():
        raise UsageError(f"there is no file {path}", where="--config", fix="write a TOML file with a section [agent]")
    values = read_toml(path).get("agent")
    if not isinstance(values, dict):
        raise UsageError(f"{path} has no section [agent]", where="--config", fix="put the settings below [agent]")
    return Layer(str(path), values)


def _say_costs(trader: Trader, feed: TableFeed) -> None:
    """What trading costs beside the limits of loss, and where that is a large part of one."""
    config, now = trader.desk.config, trader.desk.clock.now()
    newest = ((feed.listing(market), feed.newest(market, now)) for market in trader.desk.markets)
    priced = [(listing, float(bar.close)) for listing, bar in newest if bar is not None]
    for said in (costs_text(config, priced), *warnings_of(config, priced)):
        if said is not None:
            _tell(f"note: {said}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
