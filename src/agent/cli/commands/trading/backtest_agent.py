"""`agent backtest-agent`: the trader over history, with forecasts that were made out of fold."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime

from agent.cli.commands.trading.run_agent import add_settings, parsed_of
from agent.cli.output import emit, moment
from agent.cli.trading import money
from agent.console import table
from agent.errors import UsageError
from agent.execution.workspace import open_workspace
from agent.store.database.throwaway import throwaway
from agent.trading.config import TradingAgentConfig
from agent.trading.feeds.clocks import ReplayClock
from agent.trading.feeds.columns import TableFeed
from agent.trading.feeds.reading import read_like_simulation, read_out_of_fold
from agent.trading.replay import Replayed, replay
from agent.trading.replay.like_simulation import OFF, Likeness, replay_like
from agent.trading.run import Start, Trader

HELP = "Run the trader over history: forecasts made out of fold, the clock at each bar's end, nothing is left behind."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_settings(parser)
    parser.add_argument("--from", dest="since", type=_instant, metavar="TIME", help="the first bar's end (UTC)")
    parser.add_argument("--until", type=_instant, metavar="TIME", help="the last bar's end (UTC)")
    parser.add_argument(
        "--cost-factor", type=float, default=1.0, metavar="X", help="costs are so many times the project's (1); 0: none"
    )
    parser.add_argument(
        "--like-simulation",
        action="store_true",
        help="with the backtest's sizes and fills, without lots, stops, limits: whether trader and simulation do the same",
    )


def run(options: argparse.Namespace) -> int:
    """Replay; its books lie in a database of its own that is gone at the end. Exit code 1 where --like-simulation finds
    a difference."""
    config = parsed_of(options).config
    return _like_simulation(options, config) if options.like_simulation else _replayed(options, config)


def _replayed(options: argparse.Namespace, config: TradingAgentConfig) -> int:
    with open_workspace(options.project_dir) as workspace:
        feed = TableFeed(read_out_of_fold(workspace.database, workspace.lake, options.cost_factor))
    ends = feed.ends(options.since, options.until)
    if not ends:
        raise UsageError("no bar with a forecast ends in that time", where="--from, --until", fix="leave them out")
    if not config.asset_pairs:
        config = replace(config, asset_pairs=tuple(feed.spoken_of()))
    clock = ReplayClock(ends[0])
    with throwaway() as database:
        start = Start(database=database, feed=feed, clock=clock, config=config, mode="backtest")
        with Trader(start) as trader:
            found = replay(trader, clock, ends)
    emit(options, found, text_of(found, feed.release.name, options.cost_factor))
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
    text = "\n".join((text_of(replayed, feed.release.name, options.cost_factor), likeness_text(likeness)))
    emit(options, {"replayed": replayed, "likeness": likeness}, text)
    return 0 if likeness.is_alike else 1


def likeness_text(found: Likeness) -> str:
    """How alike trader and simulation were, for people."""
    lines = [
        f"Like the simulation: {found.traded:,} round trips of {found.simulated:,} simulated, "
        + ("each the same" if not found.different else "not the same")
        + f"; equity at {found.points:,} bar ends differs by at most {found.worst:.1e}.",
        *found.different,
        f"Off: lots, stops, the kill switch, and the rules {', '.join(sorted(OFF))}.",
        f"On, with how many orders each changed: {', '.join(f'{rule} {n:,}' for rule, n in found.changed.items())}.",
    ]
    return "\n".join(lines)


def text_of(found: Replayed, release: str, factor: float = 1.0) -> str:
    """What came of it, for people."""
    won = float((found.equity - found.initial) / found.initial)
    span = f"{found.bars:,} bar ends from {moment(found.first)} to {moment(found.last)} UTC"
    equity = f"Equity {money(found.initial)} -> {money(found.equity)} ({won:+.2%})"
    lines = [
        f"Release {release}, forecasts out of fold, {span}.",
        f"Decided: {', '.join(f'{count:,} {name}' for name, count in found.actions.items())}; {_sent(found, factor)}.",
        f"{found.trades:,} round trips: {money(found.pnl)} before fees of {money(found.fees)}.",
        f"{equity}, at worst {found.drawdown:.2%} below its peak.",
    ]
    if found.killed is not None:
        lines.append(f"The kill switch closed everything: {found.killed}.")
    if found.refused:
        rows = [(rule, f"{count:,}", found.examples.get(rule, "")) for rule, count in found.refused.items()]
        lines.append(table(rows, ("refused by", "times", "such as"), right={1}))
    return "\n".join(lines)


def _sent(found: Replayed, factor: float) -> str:
    """How many orders came of it at these costs, and what held most of the others back."""
    costs = {0.0: "without costs", 1.0: "at the project's costs"}.get(
        factor, f"at {factor:g} times the project's costs"
    )
    sent = f"{found.sent:,} sent {costs}" if found.sent else f"nothing was sent {costs}"
    refused = sum(found.refused.values())
    if not refused:
        return sent if found.sent else f"{sent}, since no net edge exceeded the margin after costs"
    rule = max(found.refused, key=lambda one: found.refused[one])
    return f"{sent}, {refused:,} refused, most by {rule} ({found.examples.get(rule, '')})"


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
