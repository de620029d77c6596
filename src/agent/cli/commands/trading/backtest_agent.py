"""`agent backtest-agent`: the trader over history, with forecasts that were made out of fold."""

from __future__ import annotations

import argparse
from dataclasses import replace

from agent.arguments import instant, number
from agent.cli.commands.trading.run_agent import add_settings, parsed_of
from agent.cli.output import emit
from agent.cli.replays import likeness_text, replay_text, span_of
from agent.errors import UsageError
from agent.execution.workspace import open_workspace
from agent.store.database.throwaway import throwaway
from agent.trading.config import TradingAgentConfig
from agent.trading.feeds.clocks import ReplayClock
from agent.trading.feeds.columns import TableFeed
from agent.trading.feeds.reading import read_like_simulation, read_out_of_fold
from agent.trading.replay import replay
from agent.trading.replay.like_simulation import replay_like
from agent.trading.run import Start, Trader

HELP = "Run the trader over history: forecasts made out of fold, the clock at each bar's end, nothing is left behind."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_settings(parser)
    parser.add_argument("--from", dest="since", type=instant, metavar="TIME", help="the first bar's end (UTC)")
    parser.add_argument("--until", type=instant, metavar="TIME", help="the last bar's end (UTC)")
    parser.add_argument(
        "--cost-factor",
        type=number(0, 1000),
        default=1.0,
        metavar="X",
        help="costs are so many times the project's (1); 0: none",
    )
    parser.add_argument(
        "--untradable",
        action="store_true",
        help="trade what the rule decides although the assessment does not call the release tradable",
    )
    parser.add_argument(
        "--like-simulation",
        action="store_true",
        help="with the backtest's sizes, without lots, stops, limits: whether trader and simulation do the same",
    )


def run(options: argparse.Namespace) -> int:
    """Replay; its books lie in a database of its own that is gone at the end. Exit code 1 where --like-simulation finds
    a difference."""
    config = parsed_of(options).config
    return _like_simulation(options, config) if options.like_simulation else _replayed(options, config)


def _replayed(options: argparse.Namespace, config: TradingAgentConfig) -> int:
    with open_workspace(options.project_dir) as workspace:
        tables = read_out_of_fold(
            workspace.database, workspace.lake, options.cost_factor, untradable=options.untradable
        )
    feed = TableFeed(tables)
    ends = feed.ends(options.since, options.until)
    if not ends:
        raise UsageError(
            "no bar with a forecast ends in that time", where="--from, --until", fix=f"leave them out: {span_of(feed)}"
        )
    if not config.asset_pairs:
        config = replace(config, asset_pairs=tuple(feed.spoken_of()))
    clock = ReplayClock(ends[0])
    with throwaway() as database:
        start = Start(database=database, feed=feed, clock=clock, config=config, mode="backtest")
        with Trader(start) as trader:
            found = replay(trader, clock, ends)
            text = replay_text(found, feed, trader.desk.markets, options.cost_factor)
    emit(options, found, text)
    return 0


def _like_simulation(options: argparse.Namespace, config: TradingAgentConfig) -> int:
    if config.asset_pairs:
        raise UsageError(
            "the simulation trades all markets", where="--asset-pair", fix="leave it out with --like-simulation"
        )
    with open_workspace(options.project_dir) as workspace:
        history = read_like_simulation(
            workspace.database, workspace.lake, options.cost_factor, options.since, options.until
        )
    feed = TableFeed(history.tables)
    with throwaway() as database:
        replayed, likeness = replay_like(database, feed, config, history.piece, history.rules)
    text = "\n".join((replay_text(replayed, feed, feed.spoken_of(), options.cost_factor), likeness_text(likeness)))
    emit(options, {"replayed": replayed, "likeness": likeness}, text)
    return 0 if likeness.is_alike else 1
