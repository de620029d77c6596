"""`agent collect`: asks remote sources for what is new, holes and what is older, and keeps the replies in the inbox."""

from __future__ import annotations

import argparse
import asyncio
import sys

from agent import settings as agent_settings
from agent.cli.output import emit
from agent.collect.loop import Result, collect
from agent.collect.passing import Passes, remote_sources
from agent.errors import Busy, UsageError
from agent.execution.workspace import open_database
from agent.runtime.signals import stop_on_signals
from agent.sections.collect import Settings as CollectSettings

HELP = "Collect from remote sources into the inbox: for ever, or once; several processes may, one at a time per source."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="collect these alone (all remote ones)")
    parser.add_argument("--once", action="store_true", help="one pass over each source, then end")


def run(options: argparse.Namespace) -> int:
    """Collect. Exit code 1 where a source or one of its streams failed, 3 where another process collects."""
    settings = agent_settings.load(options.project_dir)
    sources = remote_sources(settings, options.sources)
    if not sources:
        raise UsageError(
            "no remote source is configured",
            where=str(settings.file),
            fix="agent sources add polymarket --query election, or write a section such as [sources.kalshi]",
        )
    every = None if options.once else settings.of(CollectSettings).every_seconds
    with open_database(settings) as database, stop_on_signals() as stop:
        passes = Passes(settings, database)
        results = asyncio.run(collect(passes, sources, every=every, stop=stop, told=_tell))
    if options.json:
        emit(options, [_facts(one) for one in results], "")
    if any(isinstance(one.error, Busy) for one in results):
        return Busy.exit_code
    return 1 if any(one.error or (one.passed and one.passed.failed) for one in results) else 0


def _tell(result: Result) -> None:
    """A line per pass, as it ends."""
    passed = result.passed
    if passed is None:
        print(f"{result.source}: {result.error}", file=sys.stderr, flush=True)
        return
    rest = "" if passed.is_done else "; there is more to collect"
    failed = f"; {len(passed.failed)} streams failed" if passed.failed else ""
    print(f"{result.source}: {passed.pages} pages, {passed.rows:,} rows{failed}{rest}", file=sys.stderr, flush=True)


def _facts(result: Result) -> dict[str, object]:
    passed = result.passed
    return {
        "source": result.source,
        "error": None if result.error is None else result.error.what,
        "pages": 0 if passed is None else passed.pages,
        "rows": 0 if passed is None else passed.rows,
        "failed": {} if passed is None else passed.failed,
        "is_done": passed is not None and passed.is_done,
    }
