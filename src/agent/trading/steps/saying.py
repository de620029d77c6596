"""What a cycle came to, and what a start waits for, in sentences. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agent.trading.kill_switch import Cause, Fired, KillState
from agent.trading.reconcile.facts import ACCEPTABLE, NEW_BOOKS, Discrepancy
from agent.trading.steps.cycle import Done
from pipelines.figures import percent_text


def rehearsed(state: KillState, fired: Fired | None) -> str:
    """Why test mode ends: the kill switch stands (`state`), or it would fire (`fired`: by what)."""
    if state is not KillState.ARMED:
        return f"The kill switch is {state}, and test mode closes nothing: a start without it goes on with that."
    found = "" if fired is None else f" by {fired.cause}{_measured(fired)}"
    return (
        f"The kill switch would fire{found}. Test mode writes no row of it and closes nothing: a start without it does."
    )


def _measured(fired: Fired) -> str:
    if not fired.limit:
        return ""
    if fired.cause is Cause.STALE_MARKS:
        return f" ({fired.measured} readings in a row)"
    return f" ({percent_text(fired.measured, 2)} measured, the limit is {percent_text(fired.limit, 2)})"


def sentence(done: Done) -> str:
    """What a cycle came to, for people."""
    failed = f", {len(done.failed)} without a price" if done.failed else ""
    if done.is_killed:
        return "The kill switch fired: everything is being closed."
    why = f" Nothing was sent: {_commonest(done.unsent)}." if done.unsent and not done.sent else ""
    return f"Cycle {done.cycle}: {done.decided} decided, {done.sent} sent, {done.refused} refused{failed}.{why}"


def words_on(blocking: Sequence[Discrepancy]) -> tuple[str, str]:
    """What a person must say before a trader starts, and how they say it."""
    listed = "; ".join(f"{one.kind} {'' if one.key is None else one.key[0]}: {one.note}" for one in blocking)
    kinds = {one.kind for one in blocking}
    fixes = []
    if NEW_BOOKS in kinds:
        fixes.append("`agent reconcile --adopt` lets the next start take over what is listed")
    if kinds & ACCEPTABLE:
        fixes.append("where the platform is right: `agent reconcile --accept ID`")
    if kinds - ACCEPTABLE - {NEW_BOOKS}:
        fixes.append("put the rest right on the platform" if fixes else "put it right on the platform")
    return (
        f"books and platform differ, and a person must say what is right: {listed}",
        f"look at the platform; {'; '.join(fixes)}; then start again. Nothing was changed",
    )


def _commonest(reasons: Sequence[str]) -> str:
    """The reason that most have, of those that begin alike the first one in full; and how many have others."""
    kinds = Counter(one.split(":")[0] for one in reasons)
    kind, count = kinds.most_common(1)[0]
    words = next(one for one in reasons if one.split(":")[0] == kind).rstrip(".")
    return words if count == len(reasons) else f"{words} ({count} of {len(reasons)} markets)"
