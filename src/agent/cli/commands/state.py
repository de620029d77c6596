"""`agent state`: what is recorded of every component, and which release is current."""

from __future__ import annotations

import argparse

from agent.cli.output import emit, moment
from agent.console import table
from agent.core.explain import dirty_text
from agent.core.graph import order
from agent.core.record import promise_text
from agent.execution.workspace import open_workspace
from agent.store import state
from agent.store.outputs import catalog, promises, releases, trials
from pipelines.figures import percent_text

HELP = "Show the recorded state of every component and the current release."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(options: argparse.Namespace) -> int:
    """Print the state as recorded; nothing is checked or decided again (`agent plan` does that)."""
    with open_workspace(options.project_dir) as workspace, workspace.database.reading() as connections:
        states = state.load_states(connections.project)
        release = releases.current_release(connections.project)
        kept = releases.list_releases(connections.project, limit=10)
        luck = trials.luck_of_newest(connections.project)
        promise = promises.load_promise(connections.project)
        left_out = catalog.quarantined(connections.project)
    headings = ("component", "status", "dirty", "last success (UTC)", "runs", "failures", "rows", "version", "why")
    rows = [
        (
            one.component,
            one.status,
            "yes" if one.is_dirty else "",
            moment(one.last_run_at),
            str(one.run_count),
            str(one.failure_count),
            "" if one.output_rows is None else f"{one.output_rows:,}",
            (one.output_version or "")[:8],
            one.last_error.partition("\n")[0] if one.status == "failed" and one.last_error else dirty_text(one) or "",
        )
        for one in (states[name] for name in [*order(workspace.specs), *sorted(states.keys() - workspace.specs.keys())])
    ]
    parts = [table(rows, headings, right={4, 5, 6})]
    if release is None:
        parts.append("No release yet: `agent run` makes one.")
    else:
        kind = ", historical data" if release.is_historical else ""
        parts.append(f"current release: {release.name} (as of {moment(release.as_of)} UTC{kind})")
        if release.assessment is not None:
            parts.append(f"assessment: {release.assessment}")
        if promise is not None:
            parts.append(f"forward record: {promise_text(promise)}")
        if luck is not None:
            count = f"{luck.trials} set-up{'' if luck.trials == 1 else 's'}"
            parts.append(
                f"deflated Sharpe ratio of the backtest: {percent_text(luck.probability, 0)} likely above what the "
                f"best of the {count} tried shows by luck (what a rising market gave counts)"
            )
        others = [one.name for one in kept if not one.is_current]
        if others:
            parts.append(f"earlier releases: {', '.join(others)}")
    parts += [
        f"{name} left out {count:,} row{'s' if count > 1 else ''} that break a rule: `agent export quarantine` writes "
        "them to a file"
        for name, count, _ in left_out
    ]
    value = {
        "components": list(states.values()),
        "current_release": release,
        "releases": kept,
        "deflated_sharpe": luck,
        "forward_record": promise,
        "quarantined": {name: count for name, count, _ in left_out},
    }
    emit(options, value, "\n\n".join(parts))
    return 0
