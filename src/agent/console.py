"""What a person sees at the terminal: progress while a run goes on, a table at its end, errors in words.

On a terminal long work shows a progress bar (rich, loaded when something is computed); elsewhere it logs lines, as text
or as JSON objects.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, assert_never

from agent.core import events
from agent.core.explain import causes_text, event_sentence, progress_text
from agent.core.model import Block, Compute, Defer, Skip
from agent.errors import AgentError
from agent.execution.engine import Finished, Report
from agent.store.outputs.releases import Release
from pipelines.errors import PipelineError, SettingsError
from pipelines.values import dataclass

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# Controls of C0 (but tab and line break), DEL and C1, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_COLOUR = re.compile("\x1b\\[[0-9]*m")
_LEAST = 8  # characters of a column, however narrow the terminal is
# A whole cell of a table -> its colour on a terminal: green, red, yellow.
_WORDS = {
    **dict.fromkeys(("completed", "succeeded", "computed", "up to date", "running", "same", "ok", "buy"), "32"),
    **dict.fromkeys(("failed", "crashed", "cancelled", "sell", "different"), "31"),
    **dict.fromkeys(("stale", "dirty", "deferred", "blocked", "queued", "awaiting_approval", "never run"), "33"),
}
_AT = "%Y-%m-%d %H:%M:%SZ"  # UTC, as everywhere else


class JsonLines(logging.Formatter):
    """Log records as one JSON object a line: at, level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One object, keys in a fixed order."""
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class TextLines(logging.Formatter):
    """Log records as lines of text; what others wrote into a goal or a name cannot steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """As usual, control characters escaped."""
        return visible(super().format(record))


def visible(text: str) -> str:
    """`text` with control characters as `\\u001b`, so that they are seen and do nothing; line breaks and tabs stay."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def set_up_logging(style: str, *, debug: bool = False) -> None:
    """Log to standard error, as `text` or `json` lines."""
    handler = logging.StreamHandler(sys.stderr)
    lines = JsonLines() if style == "json" else TextLines("%(asctime)s %(message)s", _AT)
    lines.converter = time.gmtime
    handler.setFormatter(lines)
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    for noisy in ("alembic", "apscheduler", "httpx", "multipart", "watchdog"):
        logging.getLogger(noisy).setLevel(logging.ERROR if noisy == "apscheduler" else logging.WARNING)


@dataclass
class ProgressReporter:
    """Shows a run's events as they come. Use as a context, so that the progress bar is taken down at the end."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _bar: Progress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _logger: logging.Logger = field(default_factory=lambda: logging.getLogger("tidemill.run"))

    def __enter__(self) -> ProgressReporter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: events.Event | events.Progress) -> None:
        """A watcher of `agent.execution.runlog`: it shows what is computed."""
        match event:
            case events.Progress():
                self._advance(event)
            case events.Started(component=component) if self.stream.isatty():
                self._add(component)
            case events.Finished() | events.Failed() | events.Cancelled():
                self._finish(event)
            case events.Started() | events.TakenOver():
                self._log(event)
            case _:
                pass

    def _log(self, event: events.Event) -> None:
        self._logger.info(_first_line(event), extra={"fields": events.to_json(event)})

    def _add(self, component: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        if self._bar is None:
            self._bar = Progress(
                SpinnerColumn(finished_text=" "),
                TextColumn("{task.fields[name]:<12}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.description}", markup=False),  # an error may hold [brackets]
                console=Console(file=self.stream),
            )
            self._bar.start()
        self._tasks[component] = self._bar.add_task("starting", total=None, name=component)

    def _advance(self, event: events.Progress) -> None:
        if self._bar is not None and event.component in self._tasks:
            task, text = self._tasks[event.component], progress_text(event)
            self._bar.update(task, completed=event.done, total=event.total or None, description=text)

    def _finish(self, event: events.Finished | events.Failed | events.Cancelled) -> None:
        task = self._tasks.get(event.component)
        if self._bar is not None and task is not None:
            text = _first_line(event).removeprefix(f"{event.component} ")  # the name has a column of its own
            self._bar.update(task, total=1, completed=1, description=text)
        else:
            self._log(event)


def _first_line(event: events.Event) -> str:
    return event_sentence(event).partition("\n")[0]


def report_text(
    report: Report,
    release: Release | None,
    releases_path: str,
    checked_at: datetime,
    quarantined: Sequence[tuple[str, int, str]] = (),
    warnings: Sequence[str] = (),
    rows_read: str | None = None,
) -> str:
    """The end of a run: a table of what each component did and why, the errors, what was left out (component, rows,
    file), what became of the sources' rows and what is odd about them, and where the release is."""
    parts = []
    if (
        report.status == "COMPLETED"
        and report.components
        and all(isinstance(one.step, Skip) for one in report.components)
    ):
        count = len(report.components)
        which = f"all {count} components are" if count > 1 else f"{report.components[0].component} is"
        parts.append(
            f"Nothing to do: {which} up to date "
            f"(no new data, code or settings; checked {checked_at:%Y-%m-%d %H:%M:%S} UTC)."
        )
    elif report.components:
        parts.append(table([_row(one) for one in report.components], _HEADINGS, right={2, 3}))
    parts += [error_text(one) for one in report.components if one.error is not None]
    parts += [
        f"{component} left out {count:,} row{'s' if count > 1 else ''} that break a rule; file, line and rule are in\n"
        f"  {path}"
        for component, count, path in quarantined
    ]
    parts += [f"Sources: {rows_read}."] if rows_read is not None else []
    parts += _odd_sources(warnings)
    if report.status == "CANCELLED":
        parts.append(f"Run {report.run_id} was ended: {report.error}")
    if release is not None:
        when = f"as of {release.as_of:%Y-%m-%d %H:%M} UTC" if release.as_of else "without times"
        kind = ", historical data" if release.is_historical else ""
        if report.status != "COMPLETED" and release.run_id != report.run_id:
            kind += ", of an earlier run"
        judged = "" if release.assessment is None else f"\n  {release.assessment}"
        parts.append(f"Release {release.name} ({when}{kind}){judged}\n  {releases_path}/current/report.html")
    return "\n\n".join(parts)


_WARNINGS_SHOWN = 5


def _odd_sources(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    more = len(warnings) - _WARNINGS_SHOWN
    lines = [f"warning: {text}" for text in warnings[:_WARNINGS_SHOWN]]
    lines += [f"and {more} more"] if more > 0 else []
    return ["\n".join([*lines, "`agent sources report` shows what became of every row."])]


def error_text(one: Finished) -> str:
    """A component's failure as one block."""
    lines = (one.error or "").splitlines()
    return f"{one.component} failed: {lines[0]}" + "".join(f"\n{line}" for line in lines[1:])


def exit_code_of(work: Callable[[], int], *, debug: bool) -> int:
    """Do `work` and return its exit code; an error becomes words on standard error and the code it stands for.

    0 done, 1 a component failed, 2 usage or settings, 3 busy; 130 ended by Ctrl-C, 141 where whoever read the output
    has gone (`agent runs | head`). `debug` shows tracebacks too.
    """
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        return 141
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except PipelineError as error:
        if debug:
            traceback.print_exc()
        print(visible(f"error: {error}"), file=sys.stderr)
        if isinstance(error, AgentError):
            return error.exit_code
        return 2 if isinstance(error, SettingsError) else 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        what = f"error: {type(error).__name__}: {error}\n  fix:   "
        print(
            visible(what) + "this is a fault of tidemill itself: run again with --debug and report it", file=sys.stderr
        )
        return 1


_HEADINGS = ("component", "what", "seconds", "rows", "version", "why")


def _row(one: Finished) -> tuple[str, ...]:
    seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
    rows = "" if one.rows is None else f"{one.rows:,}"
    version = (one.version or "")[:8]
    match one.step:
        case Compute(reasons=reasons, reuse=reuse):
            done = "computed" if reuse is None else "reused"
            what = "failed" if one.error else "same" if one.is_cut_off else done
            why = causes_text(one.component, reasons)
        case Skip():
            what, why = "up to date", ""
        case Defer(until=until):
            what, why = "deferred", f"until {until}"
        case Block(by=by):
            what, why = "blocked", f"by {by}"
        case _:
            assert_never(one.step)
    return one.component, what, seconds, rows, version, why


def table(
    rows: Sequence[Sequence[str]], headings: Sequence[str], right: set[int] | frozenset[int] = frozenset()
) -> str:
    """Rows in aligned columns; `right` are the numbers of columns aligned to the right.

    On a terminal it fits the width, the widest columns cut first, and states have a colour (unless NO_COLOR is set);
    elsewhere all of it is there, and plain.
    """
    lines = [list(headings), *[[visible(cell).replace("\n", "\\n") for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    is_terminal = sys.stdout.isatty()
    if is_terminal:
        widths = fitted(widths, shutil.get_terminal_size().columns)
    is_coloured = is_terminal and "NO_COLOR" not in os.environ
    shown = []
    for line in lines:
        cells = [_cut(text, width) for text, width in zip(line, widths, strict=True)]
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(cells, widths, strict=True))
        ]
        cells[-1] = cells[-1].rstrip()
        shown.append("  ".join(_coloured(cell) if is_coloured else cell for cell in cells).rstrip())
    rule = "-" * min(100, max(len(_COLOUR.sub("", line)) for line in shown))
    return "\n".join([shown[0], rule, *shown[1:]])


def fitted(widths: Sequence[int], total: int) -> list[int]:
    """Widths of columns, two blanks between them, that come to at most `total`: what is missing is taken from the
    widest, of which _LEAST stay."""
    found = list(widths)
    over = sum(found) + 2 * (len(found) - 1) - total
    while over > 0:
        widest = max(range(len(found)), key=found.__getitem__)
        if found[widest] <= _LEAST:
            break
        found[widest] -= 1
        over -= 1
    return found


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def _coloured(cell: str) -> str:
    colour = _WORDS.get(cell.strip().lower())
    return cell if colour is None else f"\x1b[{colour}m{cell}\x1b[0m"
