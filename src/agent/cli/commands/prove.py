"""`agent prove --noise`: how often the project's own set-up claims skill where there is none."""

from __future__ import annotations

import argparse
import logging

from agent.cli.output import emit
from agent.execution.upkeep.prove import Proof, prove_on_noise
from agent.execution.workspace import open_workspace
from pipelines.evaluation.assessment import Verdict

HELP = "Run the project's features and model on noise made of its own bars; say how often they claim skill."

_MOST_SETS, _MOST_MINUTES = 1000, 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--noise",
        action="store_true",
        required=True,
        help="on bars in another order, up and down by the toss of a coin",
    )
    parser.add_argument("--sets", type=_count, default=20, metavar="N", help="sets of noise (default: 20)")
    parser.add_argument(
        "--max-minutes",
        type=_minutes,
        default=10.0,
        metavar="M",
        help="begin no set that would end later (default: 10)",
    )


def run(options: argparse.Namespace) -> int:
    """Compute and print; nothing is recorded."""
    log = logging.getLogger("tidemill.prove")
    with open_workspace(options.project_dir) as workspace:
        proof = prove_on_noise(
            workspace,
            sets=options.sets,
            max_seconds=60 * options.max_minutes,
            progress=lambda number, verdict: log.info("noise %d of %d: %s", number, options.sets, verdict),
        )
    emit(options, proof, _text(proof))
    return 0


def _text(proof: Proof) -> str:
    edges = proof.claims[Verdict.EDGE]
    others = ", ".join(f"{name} on {count}" for name, count in proof.claims.items() if name != Verdict.EDGE and count)
    return (
        f"EDGE was claimed on {edges} of {proof.sets} set{'' if proof.sets == 1 else 's'} of noise: "
        f"{proof.rate.value:.0%} [{proof.rate.low:.0%}, {proof.rate.high:.0%}], 95 % interval of the rate"
        + (f"\n{others}" if others else "")
        + f"\n{proof.seconds / 60:.1f} min. Bursts of volatility are left in: VOLATILITY ONLY may be right."
    )


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= _MOST_SETS):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {_MOST_SETS}")
    return int(text)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes above 0, {_MOST_MINUTES} at most")
    return value
