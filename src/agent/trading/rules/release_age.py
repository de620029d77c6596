"""An entry needs the current, gated, tradable release, whose newest tick of this market is at most two of its bars and
release_lag_seconds old (hours in which the market is closed do not count); and it needs a bar that no entry was decided
on before. A historical release is never traded live."""

from __future__ import annotations

from datetime import datetime

from agent.trading.feed import max_release_age
from agent.trading.model import Proposal
from agent.trading.rule import Allow, Answer, Refuse, View
from agent.trading.rule_example import Case

PLACE, CLOSES = 30, False


def check(proposal: Proposal, view: View, now: datetime) -> Answer:
    """Refuse an old, replaced, ungated, untradable or used-up release; a historical one in live."""
    release = view.release
    most = max_release_age(release.bar_seconds, view.config.release_lag_seconds)
    evidence = {"as_of": release.as_of, "open_seconds": release.open_seconds, "most_seconds": most}
    if view.mode == "live" and release.is_historical:
        return Refuse("the release is historical: its data ended long ago", evidence)
    if release.is_bar_decided:
        return Refuse(f"an entry was decided on the bar of {release.as_of:%Y-%m-%d %H:%M} already", evidence)
    for holds, why in (
        (release.is_current, "the release is not the current one"),
        (release.is_gated, "the release did not pass its gate"),
        (release.is_tradable, f"the release is not tradable: {release.untradable}"),
    ):
        if not holds:
            return Refuse(why, evidence)
    if release.open_seconds > most and not release.is_historical:
        return Refuse(
            f"the release knows nothing of the last {release.open_seconds:.0f} s, at most {most:.0f}", evidence
        )
    return Allow(evidence)


ALLOWS = (
    Case("two bars and the lag", release={"open_seconds": 1500.0}, left="0.01"),
    Case("historical on paper", release={"is_historical": True, "open_seconds": 1e9}, left="0.01"),
)
REFUSES = (
    Case("a second more", release={"open_seconds": 1501.0}, says="the last 1501 s, at most 1500"),
    Case("replaced", release={"is_current": False}, says="not the current one"),
    Case("gate failed", release={"is_gated": False}, says="did not pass its gate"),
    Case("no edge", release={"is_tradable": False, "untradable": "no skill"}, says="is not tradable: no skill"),
    Case("historical in live", release={"is_historical": True}, view={"mode": "live"}, says="historical"),
    Case("a bar is used once", release={"is_bar_decided": True}, says="was decided on the bar"),
)
