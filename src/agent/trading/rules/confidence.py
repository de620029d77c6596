"""An entry needs min_confidence_threshold: the probability that the trade earns something after its costs."""

from __future__ import annotations

from datetime import datetime

from agent.core.figures import percents_apart
from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import Case

PLACE, CLOSES = 60, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse a confidence below the threshold; one that is equal passes."""
    least = view.config.min_confidence_threshold
    evidence = {"confidence": proposal.confidence, "min_confidence_threshold": least}
    if proposal.confidence >= least:
        return Allow(evidence)
    return Refuse("{} is below {}".format(*percents_apart(proposal.confidence, least)), evidence)


ALLOWS = (Case("0.60 passes 0.6", proposal={"confidence": 0.60}, left="0.01"),)
REFUSES = (Case("0.599", proposal={"confidence": 0.599}, says="59.9 % is below 60.0 %"),)
