"""How a component stands, in a word and why; the same on every page. Pure: values in, values out."""

from __future__ import annotations

from typing import Literal, assert_never

from agent.core.explain import causes_text, dirty_text
from agent.core.model import Block, Compute, Defer, Skip, State, Step
from pipelines.values import dataclass

Word = Literal["died", "failed", "running", "stale", "never run", "maybe stale", "blocked", "deferred", "up to date"]


@dataclass(frozen=True)
class Standing:
    """How a component is shown: a word, and why."""

    word: Word
    why: str = ""


DIED = Standing("died", "the process that ran it died; the next run takes it over")


def standing(state: State, step: Step | None, *, is_at_work: bool) -> Standing:
    """How a component stands. `step`: what a run would do with it now; None where that is not known, and it is judged
    as its last run left it. is_at_work: whoever computes it is alive, where `state` says that somebody does."""
    if state.status == "running":
        return Standing("running") if is_at_work else DIED
    if state.status == "failed":
        return Standing("failed", state.last_error or "")
    if step is None:
        if state.run_count == 0:
            return Standing("never run")
        return Standing("stale", dirty_text(state) or "") if state.is_dirty else Standing("up to date")
    match step:
        case Skip():
            return Standing("up to date")
        case Compute(reasons=reasons):
            if state.run_count == 0:
                return Standing("never run")
            return Standing("maybe stale" if step.may_be_cut_off else "stale", causes_text(state.component, reasons))
        case Defer(until=until, reasons=reasons):
            though = causes_text(state.component, reasons)
            return Standing("deferred", f"until {until}, though {though}" if though else f"until {until}")
        case Block(by=by):
            return Standing("blocked", f"by {by}")
        case _:
            assert_never(step)
