"""`agent collect`: asks remote sources for what is new, holes and what is older, and keeps the replies in the inbox;
watches files of your own."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping

from agent import settings as agent_settings
from agent.cli.output import emit
from agent.collect.loop import Result, collect
from agent.collect.passing import Passes, Stop, remote_sources
from agent.collect.watching import Look, files_source, watch
from agent.errors import Busy, UsageError
from agent.execution.workspace import open_database
from agent.runtime.signals import stop_on_signals
from agent.sections.collect import Settings as CollectSettings
from pipelines.inbox.collected import CollectedSource
from pipelines.sources.files import FilesSource

HELP = (
    "Collect from remote sources into the inbox, and watch files: for ever, or once; several processes may, one at a "
    "time per source."
)

_SHOWN = 5  # names of files in one line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="collect these alone (all remote ones, and files)")
    parser.add_argument("--once", action="store_true", help="one pass over each source, then end")


def run(options: argparse.Namespace) -> int:
    """Collect. Exit code 1 where a source or one of its streams failed, 3 where another process collects."""
    settings = agent_settings.load(options.project_dir)
    files = files_source(settings, options.sources)
    others = [name for name in options.sources if files is None or name != files.name]
    sources = remote_sources(settings, others) if others or not options.sources else {}
    if not sources and files is None:
        raise UsageError(
            "no remote source is configured, and no files",
            where=str(settings.file),
            fix="agent sources add polymarket --query election, or write a section such as [sources.kalshi]",
        )
    every = None if options.once else settings.of(CollectSettings).every_seconds
    with open_database(settings) as database, stop_on_signals() as stop:
        results, look = asyncio.run(_collect(Passes(settings, database), sources, files, every, stop))
    if options.json:
        emit(options, [*(_facts(one) for one in results), *([] if look is None else [_look_facts(look)])], "")
    if any(isinstance(one.error, Busy) for one in results):
        return Busy.exit_code
    failed = any(one.error or (one.passed and one.passed.failed) for one in results)
    return 1 if failed or (look is not None and look.error is not None) else 0


async def _collect(
    passes: Passes,
    sources: Mapping[str, CollectedSource],
    files: FilesSource | None,
    every: float | None,
    stop: Stop,
) -> tuple[list[Result], Look | None]:
    collecting = collect(passes, sources, every=every, stop=stop, told=_tell)
    if files is None:
        return await collecting, None
    watching = watch(files, passes.database, passes.pace, every=every, stop=stop, told=_Teller().tell)
    return await asyncio.gather(collecting, watching)


class _Teller:
    """Reports looks at the files: the first, and then what differs, an error once."""

    def __init__(self) -> None:
        self._error: str | None = None
        self._is_first = True

    def tell(self, look: Look) -> None:
        """A line per kind of change."""
        error = None if look.error is None else str(look.error)
        if error is not None and error != self._error:
            print(f"files: {error}", file=sys.stderr, flush=True)
        elif error is None and self._is_first:
            print(f"files: {look.parts:,} parts", file=sys.stderr, flush=True)
        self._is_first &= error is not None
        self._error = error
        for what, parts in (("new", look.new), ("changed", look.changed), ("gone", look.gone)):
            if parts:
                more = f" and {len(parts) - _SHOWN:,} more" if len(parts) > _SHOWN else ""
                print(f"files: {what}: {', '.join(parts[:_SHOWN])}{more}", file=sys.stderr, flush=True)


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


def _look_facts(look: Look) -> dict[str, object]:
    error = None if look.error is None else look.error.what
    return {"source": FilesSource.name, "error": error, "parts": look.parts}
