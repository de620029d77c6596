"""`agent prove`: how often the set-up claims skill on noise, and whether components computed again give the same."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from agent.arguments import minutes, whole
from agent.cli.output import emit
from agent.execution.proving.proof import prove
from agent.execution.proving.values import Proof
from agent.execution.upkeep.prove import NoiseProof, prove_on_noise
from agent.execution.workspace import open_workspace
from pipelines.evaluation.assessment import Verdict
from pipelines.figures import percent_text

HELP = "Prove your own code on your own data: no skill claimed on noise, and the same result computed again."

_ALL = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--noise",
        action="store_true",
        help="run features and model on bars in another order, up and down by the toss of a coin",
    )
    what.add_argument(
        "--recompute",
        nargs="+",
        action=_Share,
        default=0.03,
        metavar="PERCENT",
        help="compute so many of a component's partitions again, from scratch and otherwise (default: 3 %%)",
    )
    parser.add_argument(
        "--component",
        action="append",
        default=[],
        metavar="NAME",
        help="compute this one again (default: all that run code of your own)",
    )
    parser.add_argument(
        "--seed", type=whole(0, 2**31 - 1), metavar="N", help="draw the same sample as an earlier proof"
    )
    parser.add_argument("--sets", type=whole(1, 1000), default=20, metavar="N", help="sets of noise (default: 20)")
    parser.add_argument(
        "--max-minutes",
        type=minutes,
        default=10.0,
        metavar="M",
        help="begin no set that would end later (default: 10)",
    )


def run(options: argparse.Namespace) -> int:
    """Compute and print; nothing is recorded. 1 where a component is at fault."""
    log = logging.getLogger("tidemill.prove")
    with open_workspace(options.project_dir) as workspace:
        if not options.noise:
            proof = prove(
                workspace,
                share=options.recompute,
                names=options.component,
                seed=options.seed,
                progress=lambda component: log.info("proving %s", component),
            )
            emit(options, {**vars(proof), "findings": proof.findings}, _words(proof))
            return 1 if proof.findings else 0
        noise = prove_on_noise(
            workspace,
            sets=options.sets,
            max_seconds=60 * options.max_minutes,
            progress=lambda number, verdict: log.info("noise %d of %d: %s", number, options.sets, verdict),
        )
    emit(options, noise, _text(noise))
    return 0


def _words(proof: Proof) -> str:
    lines = []
    for one in proof.components:
        lines.append(f"{one.component}: {'sound' if not one.findings else 'AT FAULT'}")
        for finding in one.findings:
            lines += [f"  {finding.kind}: {finding.what}", f"    where: {finding.where}", f"    fix: {finding.fix}"]
        lines += [f"  note: {note}" for note in one.notes]
    done = sum(one.recomputed for one in proof.components)
    more = sum(one.diagnosed for one in proof.components)
    lines.append(
        f"{done} partitions computed, {percent_text(proof.share)} of {sum(one.partitions for one in proof.components)}"
        + (f", and {more} more to find the cause" if more else "")
        + f"; {proof.seconds:.0f} s; --seed {proof.seed} draws the same ones"
    )
    return "\n".join(lines)


def _text(proof: NoiseProof) -> str:
    edges = proof.claims[Verdict.EDGE]
    others = ", ".join(f"{name} on {count}" for name, count in proof.claims.items() if name != Verdict.EDGE and count)
    value, low, high = (percent_text(one, 0) for one in (proof.rate.value, proof.rate.low, proof.rate.high))
    return (
        f"EDGE was claimed on {edges} of {proof.sets} set{'' if proof.sets == 1 else 's'} of noise: "
        f"{value} [{low}, {high}], 95 % interval of the rate"
        + (f"\n{others}" if others else "")
        + f"\n{proof.seconds / 60:.1f} min. Bursts of volatility are left in: VOLATILITY ONLY may be right."
    )


class _Share(argparse.Action):
    """`3`, `3%` or `3 %` as a share."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        text = "".join(values).removesuffix("%")
        try:
            percent = float(text)
        except ValueError:
            percent = 0.0
        if not 0 < percent <= _ALL:
            parser.error(f"argument --recompute: {' '.join(values)!r} is no percentage above 0, {_ALL} at most")
        setattr(namespace, self.dest, percent / _ALL)
