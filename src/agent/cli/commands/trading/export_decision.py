"""`agent export-decision`: all that a decision came from, and what came of it, as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from agent.cli.output import plain
from agent.cli.trading import opened
from agent.console import visible
from agent.store.trading.proof import proof_of

HELP = "Write a decision's proof as JSON: opinions, verdicts, quote, settings, orders, and its release's versions."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("decision_id", metavar="DECISION_ID", help="from `agent decisions --json`")
    parser.add_argument("--account", default="main", metavar="NAME", help="the paper account (main)")
    parser.add_argument("--to", type=Path, metavar="FILE", help="write it there, not to the terminal")


def run(options: argparse.Namespace) -> int:
    """Write the proof; its `sha256` is over all the rest of it."""
    with opened(options) as (database, agent), database.reading() as connections:
        proof = proof_of(connections.project, agent, options.decision_id)
    text = json.dumps(plain(proof), ensure_ascii=False, indent=1, default=str)
    if options.to is None:
        print(visible(text))
    else:
        options.to.write_text(text + "\n", encoding="utf-8")
        print(f"Wrote {options.to}.")
    return 0
