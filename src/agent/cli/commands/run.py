"""`agent run`: bring the pipeline up to date once, like `python -m agent.orchestrator --mode once`."""

from __future__ import annotations

import argparse

from agent import orchestrator

HELP = "Bring the pipeline up to date once: compute what is stale and nothing else."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    orchestrator.add_run_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Perform one run."""
    return orchestrator.once(options, options.project_dir)
