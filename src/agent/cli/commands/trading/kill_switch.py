"""`agent kill-switch`: why everything was closed; trigger it, or let the account be traded again."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.cli.output import emit, moment, user_name
from agent.cli.trading import add_filters, money, opened, show, wanted_of
from agent.console import table
from agent.errors import UsageError
from agent.execution.workspace import read_settings
from agent.store.database import migrations
from agent.store.database.engine import Database, database_now, open_engine, writing
from agent.store.trading import showing
from agent.trading import person
from agent.trading.drill import Step, drill
from agent.trading.overview import mark_texts

HELP = "Show why the kill switch fired; `trigger` closes everything, `reset` lets the account trade, `drill` rehearses."
_COLUMNS = ("triggered_at", "state", "cause", "limit_value", "measured", "equity", "triggered_by", "reset_reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="?", choices=("trigger", "reset", "drill"), help="leave it out to look")
    add_filters(parser, market=False)
    parser.add_argument("--reason", metavar="TEXT", help="why, for those who look")
    parser.add_argument("--accept-open-positions", action="store_true", help="reset although something is left open")


def run(options: argparse.Namespace) -> int:
    """Show, trigger, reset, or rehearse all of it."""
    if options.what == "drill":
        return _drill(options)
    if options.what is not None and not (options.reason or "").strip():
        raise UsageError(f"{options.what} needs a reason", where="--reason", fix='--reason "why"')
    with opened(options) as (database, agent):
        if options.what == "trigger":
            return _trigger(options)
        if options.what == "reset":
            return _reset(options, database, agent)
        with database.reading() as connections:
            rows = showing.kills(connections.project, agent, wanted_of(options))
    show(options, rows, _COLUMNS, none="It never fired.")
    if rows and not options.json:
        _explain(options, rows)
    return 0


def _explain(options: argparse.Namespace, kills: Sequence[dict[str, Any]]) -> None:
    """The marks that it fired by, and what is left where it is stuck."""
    marks = [
        (moment(kill["triggered_at"]), *mark_texts(key, one, kill["triggered_at"]))
        for kill in kills
        for key, one in (kill["marks"] or {}).items()
    ]
    if marks:
        emit(options, marks, "\n" + table(marks, ("triggered_at", "position", "mark", "marked")))
    for kill in kills:
        if kill["state"] == "stuck":
            left = "\n".join(f"  {one['market']}: {one['why']}" for one in kill["stuck"])
            emit(options, left, f"\nLeft, and tried again:\n{left}")


def _trigger(options: argparse.Namespace) -> int:
    settings, _ = read_settings(options.project_dir)
    answer = person.trigger(settings.home, options.reason, user_name())
    text = "Nothing is sent from now on; the trader closes everything in its next cycle, or when it is started."
    emit(options, answer, text)
    return 0


def _reset(options: argparse.Namespace, database: Database, agent: dict[str, Any]) -> int:
    with writing(database.project) as conn:
        accepting = options.accept_open_positions
        now = database_now(conn)
        answer = person.reset(conn, agent, reason=options.reason, by=user_name(), now=now, accepting=accepting)
    text = f"Armed again at an equity of {money(Decimal(answer['equity']))}; the trader is {answer['trading_state']}."
    emit(options, answer, text)
    return 0


def _drill(options: argparse.Namespace) -> int:
    """In a database of its own that is gone at the end: nothing of the project is opened."""

    def told(one: Step) -> None:
        if not options.json:
            print(f"{one.at:%H:%M}  {one.name:<10} {one.seconds * 1000:7.1f} ms  {one.says}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{Path(folder) / 'drill.sqlite'}")
        migrations.ensure_current(engine, automatic=True)
        database = Database(engine, engine)
        try:
            steps = drill(database, Path(folder), told)
        finally:
            database.close()
    if options.json:
        emit(options, steps, "")
    else:
        print("The drill went through: everything was cancelled and closed, and the account could be armed again.")
    return 0
