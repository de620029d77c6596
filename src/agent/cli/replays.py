"""What a replay came to, in words: of `agent backtest-agent` and of `agent run-agent --from`."""

from __future__ import annotations

from collections.abc import Iterable

from agent.cli.output import moment
from agent.cli.trading import money
from agent.console import table
from agent.trading.feeds.columns import TableFeed
from agent.trading.measures.var import LEAST_DAYS
from agent.trading.replay import Replayed
from agent.trading.replay.like_simulation import OFF, Likeness
from pipelines.figures import percent_text


def replay_text(found: Replayed, feed: TableFeed, markets: Iterable[str], factor: float = 1.0) -> str:
    """What came of it, for people. markets: those that were traded or watched."""
    won = float((found.equity - found.initial) / found.initial)
    span = f"{found.bars:,} bar ends from {moment(found.first)} to {moment(found.last)} UTC"
    equity = f"Equity {money(found.initial)} -> {money(found.equity)} ({percent_text(won, 2, sign=True)})"
    lines = [
        f"Release {feed.release.name}, forecasts out of fold, {span}.",
        f"Decided: {', '.join(f'{count:,} {name}' for name, count in found.actions.items())}; {_sent(found, factor)}.",
        f"{found.trades:,} round trips: {money(found.pnl)} before fees of {money(found.fees)}.",
        f"{equity}, at worst {percent_text(found.drawdown, 2)} below its peak.",
    ]
    if feed.release.untradable:
        goes_past = " The rule was traded all the same." if feed.release.is_tradable else ""
        lines.append(
            f"The release is not tradable, {feed.release.untradable}: `agent run-agent` opens nothing with it."
            + goes_past
        )
    priced = [one for one in markets if not feed.listing(one).instrument.is_binary]
    young = [one for one in priced if len(feed.returns(one, found.last).days) < LEAST_DAYS]
    if young:
        names = f"{young[0]}{f' and {len(young) - 1} others' if len(young) > 1 else ''}"
        lines.append(
            f"Value at risk has no history of {names}, fewer than {LEAST_DAYS} days of bars: a tenth of each position "
            "is counted instead, or its stop where that is more."
        )
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


def span_of(feed: TableFeed) -> str:
    """From when to when there is something to replay, for people."""
    ends = feed.ends(None, None)
    return f"forecasts go from {moment(ends[0])} to {moment(ends[-1])} UTC" if ends else "there are no forecasts"
